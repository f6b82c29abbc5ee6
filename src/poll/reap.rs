//! From completions to what is ready, or to be looked at.

use crate::poll::table::{of_key, GONE, HOT, MULTI, TRIED, WOKEN};
use crate::poll::{meaning, PollSet};
use crate::ring::kernel::Readiness;
use crate::sys::abi::io_uring_cqe;
use crate::sys::consts::IORING_CQE_F_MORE;
use crate::sys::Errno;

impl<K: Readiness> PollSet<K> {
    /// Take all completions off the ring. `at_once`: nothing was waited for, so that what a request
    /// of this call says was so when it was submitted. False if there was none.
    pub(super) fn reap(&mut self, at_once: bool) -> bool {
        let mut any = false;
        while let Some(cqe) = self.ring.as_mut().and_then(|ring| ring.pop()) {
            any = true;
            // Not ours to care for: wake-ups, and cancellations that came too late.
            if let Some((fd, generation)) = of_key(cqe.user_data) {
                self.ended(fd, generation, &cqe, at_once);
            }
        }
        if let Some(ring) = &mut self.ring {
            ring.reaped();
        }
        any
    }

    #[inline]
    fn ended(&mut self, fd: i32, generation: u32, cqe: &io_uring_cqe, at_once: bool) {
        let round = self.round;
        let Some(entry) = self.table.get_mut(fd) else { return };
        // Of a request that was cancelled, or that the kernel has told of already.
        if entry.generation != generation || entry.armed == 0 {
            return;
        }
        let armed = entry.armed;
        if cqe.flags & IORING_CQE_F_MORE == 0 {
            entry.armed = 0;
        }
        if cqe.res < 0 {
            return self.failed(fd, Errno(-cqe.res));
        }
        if entry.armed_in != round || entry.state & MULTI != 0 {
            entry.state |= WOKEN;
            return self.queue(fd);
        }
        let events = meaning(cqe.res as u32, entry.want);
        if events == 0 {
            if armed == entry.want {
                // The kernel always adds POLLRDHUP to what a request waits for. The other side will
                // send no more, which stays so: a one-shot request would end at once for ever, and
                // a multishot one ends its waits only for something new.
                entry.state |= MULTI;
            }
            return self.queue(fd);
        }
        if at_once {
            entry.state |= HOT;
        } else if self.promote >= 0 {
            entry.state |= HOT | TRIED;
        } else {
            self.promote += 1;
        }
        self.report(fd, events);
    }

    /// A request ended with an error.
    #[cold]
    fn failed(&mut self, fd: i32, errno: Errno) {
        match errno {
            // By nobody here: its thread has ended, or somebody cancelled everything on the ring.
            Errno::ECANCELED => self.queue(fd),
            Errno::EBADF => {
                if let Some(entry) = self.table.get_mut(fd) {
                    entry.state |= GONE;
                }
            }
            Errno::ENOMEM | Errno::EAGAIN | Errno::EINTR | Errno::EBUSY => {
                self.short = true;
                self.queue(fd);
            }
            errno => {
                self.queue(fd);
                self.unfit = Some((fd, errno));
            }
        }
    }
}
