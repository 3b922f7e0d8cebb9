//! The admin listeners: their certificates, and who could read what is sent to them.

use std::collections::BTreeSet;

use essaim::{AdminTls, Env, listener_warning};

use super::page::Page;
use super::plan::Planned;
use crate::serve::wrong;

/// Tells each mistake once, however many nodes share it.
pub fn check(nodes: &[Planned], page: &mut Page) {
    let mut warned = BTreeSet::new();
    for node in nodes {
        let settings = &node.config.settings.node;
        if let Err(error) = AdminTls::of(settings, &Env::system()) {
            page.shared_problem(wrong(error));
        }
        if let Some(warning) = listener_warning(settings)
            && warned.insert(warning)
        {
            page.warnings.push(format!("`{}`, {}: {warning}", node.name, settings.admin_listen));
        }
    }
}
