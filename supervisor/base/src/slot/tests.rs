//! What asker and handler find, step by step and, with the feature `loom`, in every interleaving.

#[cfg(feature = "loom")]
mod interleaved;
#[cfg(not(feature = "loom"))]
mod stepwise;
