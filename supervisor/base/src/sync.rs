//! The lock of what the model checker tries in every interleaving (feature `loom`); everywhere else that of [`lock`](crate::lock).

#[cfg(not(feature = "loom"))]
pub use crate::lock::{Mutex, MutexGuard};

#[cfg(feature = "loom")]
pub use model::{Mutex, MutexGuard};

#[cfg(feature = "loom")]
mod model {
    pub use loom::sync::MutexGuard;

    /// The model checker's lock, with the interface of `parking_lot`.
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model has no panics")
        }
    }
}
