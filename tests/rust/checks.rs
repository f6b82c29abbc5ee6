//! That the builds which are tested notice mistakes. The tests named `planted` make one on purpose:
//! `nox -s asan_rust` runs them by name, and AddressSanitizer must object.
#![cfg(not(any(loom, shuttle)))]

use std::hint::black_box;

#[test]
#[should_panic(expected = "attempt to add with overflow")]
fn overflow_is_checked() {
    assert_eq!(black_box(u8::MAX) + black_box(1), 0);
}

#[test]
#[should_panic(expected = "planted")]
fn debug_assertions_are_checked() {
    debug_assert!(black_box(false), "planted");
}

#[test]
#[ignore = "a mistake on purpose: nox -s asan_rust runs it by name"]
fn planted_use_after_free() {
    let freed = Box::into_raw(Box::new([black_box(7u64); 32]));
    // SAFETY: none: this is the mistake.
    unsafe {
        drop(Box::from_raw(freed));
        assert_eq!((&raw const (*black_box(freed))[3]).read_volatile(), 7);
    }
}

#[test]
#[ignore = "a mistake on purpose: nox -s asan_rust runs it by name"]
fn planted_leak() {
    // Several: the address of the last may still lie about on the stack.
    for _ in 0..8 {
        let lost = black_box(Box::leak(Box::new([black_box(7u64); 32])));
        assert_eq!(lost[3], 7);
    }
}
