//! The status of many files.
//!
//! What is in the kernel's memory takes a microsecond, less than it takes to wake a thread; what is
//! not waits for the device, and many should wait at once. So the first few are timed.

use core::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use super::control::{Control, Host, Stop, Worker};
use crate::sys::syscall::{cpu_count, monotonic_ns};
use crate::sys::tree::{self as sys, without_signals, Stat};
use crate::sys::Errno;

/// How many are timed.
const TIMED: usize = 16;
/// How many a thread takes at once.
const PIECE: usize = 32;
/// A file that took longer has waited for a device.
const COLD_NS: u64 = 4_000;
/// Work that is worth a thread, which takes about a tenth of it to begin.
const WORTH_NS: u64 = 250_000;
/// Threads waiting for a device at the same time.
const COLD_THREADS: usize = 8;

/// What the kernel said of one file.
pub type Answer = Result<Stat, Errno>;

/// Ask for the status of as many files as `answers` has, `name` telling their folders and names.
/// At most `threads` at once, chosen by timing if that is `None`.
pub fn stat_all<'n>(
    answers: &mut [Answer],
    name: &(impl Fn(usize) -> (BorrowedFd<'n>, &'n CStr) + Sync),
    follow: bool,
    threads: Option<usize>,
    host: &mut dyn Host,
) -> Result<(), Stop> {
    let control = Control::default();
    let mut worker = Worker::caller(&control, host);
    let ask = |first: usize, answers: &mut [Answer]| {
        for (index, answer) in answers.iter_mut().enumerate() {
            let (dir, name) = name(first + index);
            *answer = sys::stat_at(dir, name, follow);
        }
    };
    let (timed, rest) = answers.split_at_mut(TIMED.min(answers.len()));
    let begun = monotonic_ns();
    for (index, one) in timed.chunks_mut(1).enumerate() {
        ask(index, one);
        worker.check().map_err(|_| Stop)?;
    }
    let each = (monotonic_ns() - begun) / timed.len().max(1) as u64;
    let helpers = threads.unwrap_or_else(|| choose(each, rest.len())).min(64).saturating_sub(1);
    let left = Mutex::new(rest.chunks_mut(PIECE).enumerate());
    let take = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        without_signals(|| {
            for _ in 0..helpers {
                let help = || {
                    while let (false, Some((at, piece))) = (control.stopped(), take()) {
                        ask(TIMED + at * PIECE, piece);
                    }
                };
                // Where there are no more threads to be had, those there are do it.
                if Builder::new().name("uring-rs-stat".into()).spawn_scoped(scope, help).is_err() {
                    break;
                }
            }
        });
        while let Some((at, piece)) = take() {
            ask(TIMED + at * PIECE, piece);
            worker.check().map_err(|_| Stop)?;
        }
        Ok(())
    })
}

/// How many threads are worth their while for that many files.
fn choose(each: u64, count: usize) -> usize {
    let worth = (each.saturating_mul(count as u64) / WORTH_NS) as usize;
    let most = if each >= COLD_NS { COLD_THREADS } else { cpu_count() as usize };
    worth.clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::super::control::Alone;
    use super::*;

    #[test]
    fn every_answer_is_in_its_place() {
        let names = [c"/", c"/no such file", c"/proc/self", c"/dev/null"];
        for threads in [None, Some(1), Some(3)] {
            let mut answers = vec![Err(Errno::EIO); 1000];
            let name = |index: usize| (sys::CWD, names[index % 4]);
            stat_all(&mut answers, &name, false, threads, &mut Alone).unwrap();
            for (index, answer) in answers.iter().enumerate() {
                let kind = answer.map(|stat| stat.kind());
                let expected = match index % 4 {
                    0 => Ok(sys::S_IFDIR),
                    1 => Err(Errno::ENOENT),
                    2 => Ok(sys::S_IFLNK),
                    _ => Ok(sys::S_IFCHR),
                };
                assert_eq!(kind, expected, "{index}");
            }
        }
    }

    #[test]
    fn threads_only_where_they_pay() {
        assert_eq!(choose(700, 100), 1);
        assert_eq!(choose(100_000, 10), 4);
        assert_eq!(choose(100_000, 10_000), COLD_THREADS);
        assert!(choose(700, 100_000) <= cpu_count() as usize);
    }

    #[test]
    fn a_host_that_stops_is_heard() {
        struct Impatient;
        impl Host for Impatient {
            fn look(&mut self, _control: &Control) -> Result<(), Stop> {
                Err(Stop)
            }
        }
        let mut answers = vec![Err(Errno::EIO); 500_000];
        let name = |_| (sys::CWD, c"/");
        let stopped = stat_all(&mut answers, &name, true, Some(2), &mut Impatient);
        assert_eq!(stopped, Err(Stop));
        assert!(answers.last().unwrap().is_err());
    }
}
