//! Results of a replay or a drop, gathered from the answers of several requests.

use std::collections::BTreeSet;

use essaim::api::{Away, Changed};
use essaim::exit::{self, Fatal};

use crate::cli::operator::{not_known, tell_away};
use crate::cli::print;

/// Results so far.
#[derive(Default)]
pub struct Told {
    done: usize,
    out_of_order: usize,
    refused: usize,
    /// The ids of both.
    known: BTreeSet<String>,
    /// Capabilities that did not answer.
    away: BTreeSet<String>,
}

impl Told {
    /// Adds the letters of an answer.
    pub fn note(&mut self, changed: &Changed) {
        self.done += changed.done.len();
        self.out_of_order += changed.done.iter().filter(|letter| letter.is_out_of_order()).count();
        self.refused += changed.refused.len();
        let done = changed.done.iter().map(|letter| &letter.id);
        self.known.extend(done.chain(changed.refused.iter().map(|refused| &refused.id)).cloned());
        for refused in &changed.refused {
            print::line(&format!("`{}` of `{}`: {}", refused.id, refused.capability, refused.why));
        }
        self.hear(&changed.away);
    }

    /// Adds capabilities that did not answer, and prints each once.
    pub fn hear(&mut self, away: &[Away]) {
        for one in away {
            if self.away.insert(one.capability.clone()) {
                tell_away(std::slice::from_ref(one));
            }
        }
    }

    /// Prints what was done about letters with these ids, or about all if none are named; `verb` names the act.
    ///
    /// # Errors
    /// If something was not done, or may not be.
    pub fn end(&self, verb: &str, ids: &[String]) -> Result<(), Fatal> {
        print::page(&format!("{verb} {}\n", letters(self.done)));
        if verb == "replayed" && self.out_of_order > 0 {
            print::line(&format!(
                "{} out of order: later messages of the same key did not wait (durable.after_dead = \"continue\")",
                letters(self.out_of_order)
            ));
        }
        let missing: Vec<&str> = ids.iter().map(String::as_str).filter(|id| !self.known.contains(*id)).collect();
        match (&missing[..], self.refused) {
            ([], 0) if ids.is_empty() && !self.away.is_empty() => Err(not_known("whether these were all letters")),
            ([], 0) => Ok(()),
            ([], refused) => Err(Fatal::new(exit::DATA, format!("{} not; see above", letters(refused)))),
            (missing, _) if self.away.is_empty() => {
                Err(Fatal::new(exit::DATA, format!("no dead letter has the id {}", missing.join(" or "))))
            }
            (missing, _) => Err(not_known(&format!("whether a dead letter has the id {}", missing.join(" or ")))),
        }
    }
}

/// So many letters.
pub fn letters(count: usize) -> String {
    if count == 1 { "1 letter".into() } else { format!("{count} letters") }
}

/// The ids in their order, each once.
pub fn each_once(ids: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    ids.iter().filter(|id| seen.insert(*id)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use essaim::api::{DeadLetterSummary, Refused};

    use super::*;

    fn told(done: &[&str], refused: &[&str], away: &[&str]) -> Told {
        let mut told = Told::default();
        told.note(&Changed {
            done: done
                .iter()
                .map(|id| DeadLetterSummary { id: id.to_string(), ..DeadLetterSummary::default() })
                .collect(),
            refused: refused
                .iter()
                .map(|id| Refused { id: id.to_string(), capability: String::new(), why: String::new() })
                .collect(),
            away: away.iter().map(|name| Away { capability: name.to_string(), why: String::new() }).collect(),
        });
        told
    }

    #[test]
    fn ids_are_asked_for_once_and_in_their_order() {
        let ids = ["b", "a", "b", "c", "a"].map(String::from);
        assert_eq!(each_once(&ids), ["b", "a", "c"]);
    }

    #[test]
    fn the_exit_code_tells_what_is_not_there_from_what_is_not_known() {
        let ids = ["a", "b"].map(String::from);
        let code = |told: Told, ids: &[String]| told.end("dropped", ids).err().map(|fatal| (fatal.code, fatal.reason));
        assert_eq!(code(told(&["a", "b"], &[], &["shop"]), &ids), None, "all that was named was found");
        let (not_there, why) = code(told(&["a"], &[], &[]), &ids).unwrap();
        assert!(not_there == exit::DATA && why.ends_with(" b"), "{why}");
        let (unknown, why) = code(told(&["a"], &[], &["shop"]), &ids).unwrap();
        assert!(unknown == exit::UNAVAILABLE && why.contains("b is not known"), "{why}");
        assert_eq!(code(told(&["a"], &["b"], &[]), &ids).unwrap().0, exit::DATA);
        assert_eq!(code(told(&["a"], &[], &["shop"]), &[]).unwrap().0, exit::UNAVAILABLE);
        assert_eq!(code(told(&["a"], &[], &[]), &[]), None);
    }
}
