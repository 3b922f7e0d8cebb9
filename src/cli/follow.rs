//! Pages of what nodes write, printed as they come or once.

use std::collections::BTreeSet;

use essaim::api::{AwayNode, Followed, FollowedPage};
use essaim::exit::Fatal;

use super::mark::doubtful;
use super::operator::Operator;
use super::print;

/// What is known already, or all that comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Known,
    Coming,
}

/// Prints the text of each page, until there is no more or nobody reads. `gone` says that some of it was gone before it was
/// read.
///
/// # Errors
/// If the node does not answer, or not as it should.
pub fn pages<Q: Followed>(
    operator: &Operator,
    mut request: Q,
    extent: Extent,
    text: impl Fn(&Q::Answer) -> String,
    gone: impl Fn(u64) -> String,
) -> Result<(), Fatal> {
    let mut silent = BTreeSet::new();
    let mut show = |page: &Q::Answer| {
        let is_read = print::was_read(&text(page));
        if is_read && page.missed() > 0 {
            print::line(&gone(page.missed()));
        }
        // Once each, and again when it has answered in between.
        page.away().iter().filter(|away| !silent.contains(&away.node)).for_each(tell_away);
        silent = page.away().iter().map(|away| away.node.clone()).collect();
        is_read
    };
    if extent == Extent::Coming {
        return operator.follow(&request, |page| show(&page));
    }
    loop {
        let page = operator.ask(&request)?;
        if !show(&page) || !page.has_more() {
            return Ok(());
        }
        request = request.after(&page);
    }
}

/// Prints that a node did not answer, or which part of it.
pub fn tell_away(AwayNode { node, why, stored }: &AwayNode) {
    print::line(&doubtful(&match stored {
        true => format!("the records that node `{node}` stores of all nodes were not read: {why}"),
        false => format!("node `{node}` did not answer: {why}"),
    }));
}
