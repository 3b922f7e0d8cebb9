//! The keys of a cluster: they prove that a frame was made by a node, whoever carried it.
//!
//! Each secret gives a key for frames, by BLAKE3's derivation with a context of its own, and a short id that tells nothing of it. A tag is that id and a keyed BLAKE3 of the bytes; comparing takes the same time for every tag. The first
//! secret makes tags, and all of them are believed, so that one secret can follow another while nodes run. What a node says is
//! believed whole: it may speak for any principal, as every node must for its own users.

use serde::Serialize;

const FRAMES: &str = "essaim 2026 frames between the nodes of a cluster";
const NAMES: &str = "essaim 2026 id of a secret";

/// Bytes of a secret's id.
const ID_BYTES: usize = 4;
/// Bytes of a tag: the secret's id, and the keyed hash.
pub(crate) const TAG_BYTES: usize = ID_BYTES + blake3::OUT_LEN;
/// MessagePack's head of a tag: binary of this length.
const HEAD: [u8; 2] = [0xc4, TAG_BYTES as u8];
/// A tag as it is written.
pub(crate) type Tag = [u8; TAG_BYTES];

/// The secrets of a cluster; without any nothing is tagged and everything is believed.
#[derive(Default)]
pub struct ClusterKeys {
    /// The first one makes tags.
    keys: Vec<ClusterKey>,
    /// Whether what has no tag at all is believed too.
    accept_untagged: bool,
}

struct ClusterKey {
    id: [u8; ID_BYTES],
    frames: [u8; blake3::KEY_LEN],
}

/// Why bytes are not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
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
    /// The keys of a configuration: `secret` makes tags (empty: there is none), `old` ones are believed too. `accept_untagged`:
    /// while a secret is introduced, nodes without it are believed.
    pub fn new(secret: &str, old: &[String], accept_untagged: bool) -> Self {
        let secrets = [secret].into_iter().chain(old.iter().map(String::as_str)).filter(|secret| !secret.is_empty());
        Self { keys: secrets.map(ClusterKey::of).collect(), accept_untagged }
    }

    /// Whether there is a secret.
    pub fn is_on(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The id of the secret that makes tags, in hexadecimal; it tells nothing of the secret.
    pub fn id(&self) -> Option<String> {
        self.keys.first().map(|key| key.id.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether bytes without a tag are believed.
    pub(crate) fn believes_untagged(&self) -> bool {
        self.accept_untagged || !self.is_on()
    }

    /// The tag of a frame for a channel; `None` without a secret.
    pub(crate) fn tag_frame(&self, channel: &str, content: &[u8]) -> Option<Tag> {
        self.keys.first().map(|key| tag(key.id, &hash_frame(&key.frames, channel, content)))
    }

    /// Whether the tag is that of this frame for that channel.
    pub(crate) fn check_frame(&self, channel: &str, content: &[u8], tag: &[u8]) -> Result<(), Distrust> {
        self.check(tag, |key| hash_frame(&key.frames, channel, content))
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
        Self { id: [name[0], name[1], name[2], name[3]], frames: derive(FRAMES) }
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
        for at in 0..TAG_BYTES {
            let mut changed = tag;
            changed[at] ^= 1;
            assert!(keys.check_frame("inbox:a:1", b"hello", &changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn old_secrets_are_believed_and_make_no_tags() {
        let (before, during) = (ClusterKeys::new(SECRET, &[], false), ClusterKeys::new(OTHER, &[SECRET.into()], false));
        let after = ClusterKeys::new(OTHER, &[], false);
        let old = before.tag_frame("a", b"x").unwrap();
        assert_eq!(during.check_frame("a", b"x", &old), Ok(()));
        assert_eq!(after.check_frame("a", b"x", &old), Err(Distrust::UnknownSecret));
        assert_eq!(during.id(), after.id());
        assert_ne!(before.id(), after.id());
        assert_eq!(after.check_frame("a", b"x", &during.tag_frame("a", b"x").unwrap()), Ok(()));
    }

    #[test]
    fn without_a_secret_nothing_is_tagged() {
        let keys = ClusterKeys::default();
        assert_eq!((keys.tag_frame("a", b"x"), keys.id(), keys.is_on()), (None, None, false));
        assert!(keys.believes_untagged() && !ClusterKeys::new(SECRET, &[], false).believes_untagged());
    }
}
