//! The keys of a cluster: they prove that a frame or a record was made by a node, whoever carried or stored it.
//!
//! Each secret gives a key for frames and one for records, by BLAKE3's derivation with a context of its own, and a short id that
//! tells nothing of it. A tag is that id and a keyed BLAKE3 of the bytes; comparing takes the same time for every tag. The first
//! secret makes tags, and all of them are believed, so that one secret can follow another while nodes run. What a node says is
//! believed whole: it may speak for any principal, as every node must for its own users.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use essaim_base::codec;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

const FRAMES: &str = "essaim 2026 frames between the nodes of a cluster";
const RECORDS: &str = "essaim 2026 records in the log and in databases";
const NAMES: &str = "essaim 2026 id of a secret";

/// Bytes of a secret's id.
const ID_BYTES: usize = 4;
/// Bytes of a tag: the secret's id, and the keyed hash.
pub(crate) const TAG_BYTES: usize = ID_BYTES + blake3::OUT_LEN;
/// MessagePack's head of a tag: binary of this length.
const HEAD: [u8; 2] = [0xc4, TAG_BYTES as u8];
/// The name of the field that holds the tag of a map, its last one, with MessagePack's head of a text.
const FIELD: &[u8] = b"\xa3tag";
/// A tag as it is written.
pub(crate) type Tag = [u8; TAG_BYTES];

/// The secrets of a cluster; without any nothing is tagged and everything is believed.
#[derive(Default)]
pub struct ClusterKeys {
    /// The first one makes tags.
    keys: Vec<ClusterKey>,
    /// Whether what none of them has signed is believed too.
    accept_unsigned: bool,
}

struct ClusterKey {
    id: [u8; ID_BYTES],
    frames: [u8; blake3::KEY_LEN],
    records: [u8; blake3::KEY_LEN],
}

/// It shows no key.
impl fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClusterKeys").field(&self.id()).finish()
    }
}

/// Why bytes are not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Distrust {
    /// They have no tag.
    #[error("it is not signed: whoever made it does not know bridge.secret")]
    Untagged,
    /// Their tag was made with a secret that this node does not have.
    #[error("it is signed with a secret that this node does not have: is that one missing in bridge.old_secrets?")]
    UnknownSecret,
    /// Their tag is not theirs.
    #[error("its signature is not its own: it was changed, or signed for something else")]
    Forged,
}

impl ClusterKeys {
    /// The keys of a configuration: `secret` makes tags (empty: there is none), `old` ones are believed too. `accept_unsigned`:
    /// what none of them has signed is believed as well, while a secret is introduced, or after it was lost.
    pub fn new(secret: &str, old: &[String], accept_unsigned: bool) -> Self {
        let secrets = [secret].into_iter().chain(old.iter().map(String::as_str)).filter(|secret| !secret.is_empty());
        Self { keys: secrets.map(ClusterKey::of).collect(), accept_unsigned }
    }

    /// Whether there is a secret.
    pub fn is_on(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The id of the secret that makes tags, in hexadecimal; it tells nothing of the secret.
    pub fn id(&self) -> Option<String> {
        self.keys.first().map(|key| key.id.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether bytes are believed that no secret of this node has signed.
    pub fn accepts_unsigned(&self) -> bool {
        self.accept_unsigned || !self.is_on()
    }

    /// The tag of a frame for a channel; `None` without a secret.
    pub(crate) fn tag_frame(&self, channel: &str, content: &[u8]) -> Option<Tag> {
        self.keys.first().map(|key| tag(key.id, &hash_frame(&key.frames, channel, content)))
    }

    /// Signs what is stored: an encoded map gets its tag as its last field, over all bytes before that. Without a secret it stays
    /// as it is.
    pub fn sign(&self, map: &mut Vec<u8>) {
        let Some(key) = self.keys.first() else { return };
        if !count_field(map) {
            return debug_assert!(false, "what is stored is a map");
        }
        let tag = tag(key.id, &blake3::keyed_hash(&key.records, map));
        map.extend_from_slice(FIELD);
        push_tag(map, &tag);
    }

    /// Whether what was stored is believed.
    ///
    /// # Errors
    /// Why not.
    pub fn check_signed(&self, map: &[u8]) -> Result<(), Distrust> {
        if !self.is_on() {
            return Ok(());
        }
        let signed = split_tag(map).and_then(|(rest, tag)| Some((rest.strip_suffix(FIELD)?, tag)));
        let checked = match signed {
            Some((content, tag)) => self.check_record(content, tag),
            None => Err(Distrust::UnknownSecret),
        };
        match checked {
            Err(Distrust::UnknownSecret) if self.accepts_unsigned() => Ok(()),
            // What somebody has sent may end as a tag would.
            Err(Distrust::UnknownSecret) if !has_tag(map) => Err(Distrust::Untagged),
            checked => checked,
        }
    }

    /// Whether the tag is that of this frame for that channel.
    pub(crate) fn check_frame(&self, channel: &str, content: &[u8], tag: &[u8]) -> Result<(), Distrust> {
        self.check(tag, |key| hash_frame(&key.frames, channel, content))
    }

    fn check_record(&self, content: &[u8], tag: &[u8]) -> Result<(), Distrust> {
        self.check(tag, |key| blake3::keyed_hash(&key.records, content))
    }

    fn check(&self, tag: &[u8], hash: impl Fn(&ClusterKey) -> blake3::Hash) -> Result<(), Distrust> {
        let (id, claimed) = tag.split_at(ID_BYTES);
        let Ok(claimed) = <[u8; blake3::OUT_LEN]>::try_from(claimed) else { return Err(Distrust::Forged) };
        let mut why = Distrust::UnknownSecret;
        // Two secrets may have the same id.
        for key in self.keys.iter().filter(|key| key.id == id) {
            // Comparing hashes takes constant time.
            if hash(key) == blake3::Hash::from_bytes(claimed) {
                return Ok(());
            }
            why = Distrust::Forged;
        }
        Err(why)
    }
}

impl ClusterKey {
    fn of(secret: &str) -> Self {
        let derive = |context| blake3::derive_key(context, secret.as_bytes());
        let name = derive(NAMES);
        Self { id: [name[0], name[1], name[2], name[3]], frames: derive(FRAMES), records: derive(RECORDS) }
    }
}

fn hash_frame(key: &[u8; blake3::KEY_LEN], channel: &str, content: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(key);
    // The length first: no other channel and content give the same bytes.
    hasher.update(&(channel.len() as u32).to_be_bytes()).update(channel.as_bytes()).update(content);
    hasher.finalize()
}

fn tag(id: [u8; ID_BYTES], hash: &blake3::Hash) -> Tag {
    let mut tag = [0; TAG_BYTES];
    tag[..ID_BYTES].copy_from_slice(&id);
    tag[ID_BYTES..].copy_from_slice(hash.as_bytes());
    tag
}

/// Counts one more field in the head of an encoded map; whether it is one.
fn count_field(map: &mut Vec<u8>) -> bool {
    match map[..] {
        [head @ 0x80..0x8f, ..] => map[0] = head + 1,
        [0x8f, ..] => drop(map.splice(..1, [0xde, 0, 0x10])),
        [0xde, high, low, ..] => {
            let [high, low] = (u16::from_be_bytes([high, low]).saturating_add(1)).to_be_bytes();
            (map[1], map[2]) = (high, low);
        }
        _ => return false,
    }
    true
}

fn has_tag(map: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Tagged {
        tag: Option<IgnoredAny>,
    }
    codec::decode::<Tagged>(map).is_ok_and(|map| map.tag.is_some())
}

/// How often bytes were not believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Distrusted {
    /// They are not signed.
    pub untagged: u64,
    /// They are signed with a secret that this node does not have.
    pub unknown_secret: u64,
    /// Their signature is not theirs.
    pub forged: u64,
}

/// Counts how often bytes are not believed.
#[derive(Debug, Default)]
pub struct DistrustCounts {
    untagged: AtomicU64,
    unknown_secret: AtomicU64,
    forged: AtomicU64,
}

impl DistrustCounts {
    pub fn count(&self, why: Distrust) {
        let count = match why {
            Distrust::Untagged => &self.untagged,
            Distrust::UnknownSecret => &self.unknown_secret,
            Distrust::Forged => &self.forged,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) -> Distrusted {
        let [untagged, unknown_secret, forged] =
            [&self.untagged, &self.unknown_secret, &self.forged].map(|count| count.load(Ordering::Relaxed));
        Distrusted { untagged, unknown_secret, forged }
    }
}

/// Appends a tag, as binary, behind what it is of.
pub(crate) fn push_tag(bytes: &mut Vec<u8>, tag: &Tag) {
    bytes.extend_from_slice(&HEAD);
    bytes.extend_from_slice(tag);
}

/// Bytes that may be tagged, without the tag, and the tag behind them.
pub(crate) fn split_tag(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (content, written) = bytes.split_at_checked(bytes.len().checked_sub(HEAD.len() + TAG_BYTES)?)?;
    Some((content, written.strip_prefix(&HEAD)?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const SECRET: &str = "a secret of more than 32 characters, number one";
    const OTHER: &str = "a secret of more than 32 characters, number two";

    #[test]
    fn a_tag_holds_for_its_bytes_its_channel_and_its_kind_alone() {
        let keys = ClusterKeys::new(SECRET, &[], false);
        let tag = keys.tag_frame("inbox:a:1", b"hello").unwrap();
        assert_eq!(keys.check_frame("inbox:a:1", b"hello", &tag), Ok(()));
        for (channel, content) in [("inbox:a:2", &b"hello"[..]), ("inbox:a:1", b"hallo"), ("inbox:a:1h", b"ello")] {
            assert_eq!(keys.check_frame(channel, content, &tag), Err(Distrust::Forged), "{channel} {content:?}");
        }
        assert_eq!(
            keys.check_record(b"hello", &tag),
            Err(Distrust::Forged),
            "frames and records have keys of their own"
        );
    }

    /// A map of so many fields, encoded; signed.
    fn signed(keys: &ClusterKeys, fields: u32) -> (Vec<u8>, Vec<u8>) {
        let map: BTreeMap<String, &str> = (0..fields).map(|field| (format!("f{field}"), "x")).collect();
        let plain = codec::encode(&map).unwrap();
        let mut signed = plain.clone();
        keys.sign(&mut signed);
        (plain, signed)
    }

    #[test]
    fn a_signed_map_is_the_same_map_with_one_more_field_and_no_byte_of_it_can_be_changed() {
        let keys = ClusterKeys::new(SECRET, &[], false);
        for fields in [0, 1, 14, 15, 16, 17] {
            let (plain, signed) = signed(&keys, fields);
            assert_eq!(keys.check_signed(&signed), Ok(()), "{fields}");
            assert_eq!(keys.check_signed(&plain), Err(Distrust::Untagged));
            let head = if fields < 15 { 0x81 + fields as u8 } else { 0xde };
            assert_eq!(signed[0], head);
            assert!(has_tag(&signed) && !has_tag(&plain));
            for at in 0..signed.len() {
                let mut changed = signed.clone();
                changed[at] ^= 1;
                assert!(keys.check_signed(&changed).is_err(), "{fields} fields, byte {at}");
            }
        }
    }

    #[test]
    fn what_ends_as_a_tag_would_and_has_none_is_not_signed() {
        let (ours, other) = (ClusterKeys::new(SECRET, &[], false), ClusterKeys::new(OTHER, &[], false));
        let accepting = ClusterKeys::new(SECRET, &[], true);
        // The value of a field that somebody has chosen.
        let (_, tail) = signed(&other, 0);
        let plain = codec::encode(&BTreeMap::from([("body", serde_bytes::Bytes::new(&tail))])).unwrap();
        assert_eq!((ours.check_signed(&plain), accepting.check_signed(&plain)), (Err(Distrust::Untagged), Ok(())));
        let (_, foreign) = signed(&other, 3);
        assert_eq!(ours.check_signed(&foreign), Err(Distrust::UnknownSecret), "it is signed by somebody else");
        assert_eq!(accepting.check_signed(&foreign), Ok(()), "as after a secret was lost");
    }

    #[test]
    fn old_secrets_are_believed_and_make_no_tags() {
        let (before, during) = (ClusterKeys::new(SECRET, &[], false), ClusterKeys::new(OTHER, &[SECRET.into()], false));
        let after = ClusterKeys::new(OTHER, &[], false);
        let (_, old) = signed(&before, 3);
        assert_eq!(during.check_signed(&old), Ok(()));
        assert_eq!(after.check_signed(&old), Err(Distrust::UnknownSecret));
        assert_eq!(during.id(), after.id());
        assert_ne!(before.id(), after.id());
        assert_eq!(after.check_signed(&signed(&during, 3).1), Ok(()));
    }

    #[test]
    fn without_a_secret_nothing_is_tagged_and_everything_is_believed() {
        let keys = ClusterKeys::default();
        assert_eq!((keys.tag_frame("a", b"x"), keys.id(), keys.is_on()), (None, None, false));
        let (plain, signed) = signed(&keys, 3);
        assert_eq!((keys.check_signed(&plain), plain), (Ok(()), signed));
        assert!(keys.accepts_unsigned() && !ClusterKeys::new(SECRET, &[], false).accepts_unsigned());
    }
}
