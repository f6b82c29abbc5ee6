//! What requests keep: counted, so that each is released exactly once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Known {
    next: u64,
    live: HashSet<u64>,
}

/// Gives out tokens and knows which are there.
#[derive(Clone, Default)]
pub struct Tokens(Arc<Mutex<Known>>);

/// One that somebody keeps.
#[derive(Debug)]
pub struct Token {
    number: u64,
    known: Arc<Mutex<Known>>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} live", self.live.len())
    }
}

impl Tokens {
    pub fn token(&self) -> Token {
        let mut known = self.0.lock().expect("nobody panics with it");
        known.next += 1;
        let number = known.next;
        known.live.insert(number);
        drop(known);
        Token { number, known: Arc::clone(&self.0) }
    }

    /// So many were not released.
    pub fn live(&self) -> usize {
        self.0.lock().expect("nobody panics with it").live.len()
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        // A panic in here would be the end of the whole test run, and say nothing.
        let mut known = match self.known.lock() {
            Ok(known) => known,
            Err(poisoned) => poisoned.into_inner(),
        };
        if !known.live.remove(&self.number) {
            eprintln!("token {} was released twice", self.number);
            std::process::abort();
        }
    }
}
