//! What a test does to a simulated kernel from outside, and what it reads from the record.

use super::faults::{Call, FaultPlan, Made};
use super::files::Object;
use super::sockets::loopback;
use super::world::{Completed, Event, Submitted, World};
use super::SimKernel;
use crate::sys::Errno;

/// How often each thing was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls of io_uring_setup(2).
    pub setups: u64,
    /// Calls of io_uring_enter(2).
    pub enters: u64,
    /// Calls of io_uring_register(2).
    pub registers: u64,
    /// Calls of mmap(2).
    pub maps: u64,
    /// Submission entries taken.
    pub requests: u64,
    /// Completions posted, overflowed ones included.
    pub completions: u64,
    /// Completions that found the queue full.
    pub overflows: u64,
    /// Waits that nothing could ever have ended.
    pub stuck: u64,
}

/// The simulated world from outside.
impl SimKernel {
    /// Make or replace the file `name` and open it for reading and writing.
    pub fn file(&self, name: &str, contents: &[u8]) -> Result<i32, Errno> {
        self.act(|world| {
            let inode = world.files.create(name.as_bytes(), contents);
            world.files.install(Object::Regular { inode, append: false }, true, true)
        })
    }

    /// What the file `name` holds.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let world = self.world();
        let inode = world.files.names.get(name.as_bytes())?;
        Some(world.files.inodes[*inode].clone())
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<Vec<u8>> {
        self.world().files.names.keys().cloned().collect()
    }

    /// A pipe: the end to read from, the end to write to.
    pub fn pipe(&self) -> Result<(i32, i32), Errno> {
        self.act(|world| world.files.new_pipe())
    }

    /// Two connected stream sockets.
    pub fn socketpair(&self) -> Result<(i32, i32), Errno> {
        self.act(|world| world.files.new_pair())
    }

    /// A stream socket that is not connected.
    pub fn socket(&self) -> Result<i32, Errno> {
        self.act(|world| world.files.new_socket())
    }

    /// A socket that listens on a port of 127.0.0.1.
    pub fn listener(&self, port: u16) -> Result<i32, Errno> {
        self.act(|world| world.files.new_listener(&loopback(port)))
    }

    /// Connect the socket `fd` to a port of 127.0.0.1.
    pub fn connect(&self, fd: i32, port: u16) -> Result<(), Errno> {
        self.act(|world| {
            let file = world.files.lookup(fd).ok_or(Errno::EBADF)?;
            let Some(Object::Socket(socket)) = world.files.object(file) else {
                return Err(Errno::ENOTSOCK);
            };
            let connected = world.files.connect(socket, &loopback(port));
            world.settle_call();
            connected
        })
    }

    /// An eventfd, to register with a ring or to read and poll.
    pub fn eventfd(&self) -> Result<i32, Errno> {
        self.act(|world| world.files.new_event())
    }

    /// fcntl(2) with F_DUPFD: another descriptor of the same open file.
    pub fn duplicate_file(&self, fd: i32) -> Result<i32, Errno> {
        self.act(|world| world.files.duplicate(fd))
    }

    /// The counter of an eventfd.
    pub fn eventfd_count(&self, fd: i32) -> Option<u64> {
        let world = self.world();
        match world.files.lookup(fd).and_then(|file| world.files.object(file)) {
            Some(Object::Event(event)) => Some(world.files.event_count(event)),
            _ => None,
        }
    }

    /// Let a reader of `fd` find these bytes: into a pipe (either end), a socket's receive queue,
    /// at the end of a file, or eight bytes into an eventfd.
    pub fn feed(&self, fd: i32, bytes: &[u8]) -> Result<(), Errno> {
        self.act(|world| {
            let file = world.files.lookup(fd).ok_or(Errno::EBADF)?;
            let fed = world.files.feed(file, bytes);
            world.settle_call();
            fed
        })
    }

    /// Take out everything a reader of `fd` could read; of a file, a copy of all it holds.
    pub fn drain(&self, fd: i32) -> Result<Vec<u8>, Errno> {
        self.act(|world| {
            let file = world.files.lookup(fd).ok_or(Errno::EBADF)?;
            let drained = world.files.drain(file);
            world.settle_call();
            drained
        })
    }

    /// close(2) by the user. Requests in flight keep the file behind it open.
    pub fn close_file(&self, fd: i32) -> Result<(), Errno> {
        self.act(|world| {
            let closed = world.files.close(fd);
            world.settle_call();
            closed
        })
    }

    /// shutdown(2) by the user: 0 for reading, 1 for writing, 2 for both.
    pub fn shutdown(&self, fd: i32, how: u32) -> Result<(), Errno> {
        self.act(|world| {
            let file = world.files.lookup(fd).ok_or(Errno::EBADF)?;
            let Some(Object::Socket(socket)) = world.files.object(file) else {
                return Err(Errno::ENOTSOCK);
            };
            let done = world.files.shutdown(socket, how);
            world.settle_call();
            done
        })
    }

    /// Let virtual time pass, with all that happens in it.
    pub fn advance(&self, ns: u64) {
        self.act(|world| {
            let until = world.now.saturating_add(ns);
            world.advance_to(until);
            // Outside a wait a signal is handled when it comes.
            world.signal = false;
        });
    }

    fn later(
        &self,
        ns: u64,
        what: impl FnOnce(&mut World) -> Result<Event, Errno>,
    ) -> Result<(), Errno> {
        self.act(|world| {
            let event = what(world)?;
            world.schedule(ns, event);
            Ok(())
        })
    }

    /// [`SimKernel::feed`], in so many virtual nanoseconds: in the middle of a wait, say.
    pub fn feed_after(&self, ns: u64, fd: i32, bytes: &[u8]) -> Result<(), Errno> {
        self.later(ns, |world| {
            let file = world.files.lookup(fd).ok_or(Errno::EBADF)?;
            world.files.hold(file);
            Ok(Event::Feed(file, bytes.to_vec()))
        })
    }

    /// [`SimKernel::close_file`], in so many virtual nanoseconds.
    pub fn close_after(&self, ns: u64, fd: i32) -> Result<(), Errno> {
        self.later(ns, |_| Ok(Event::Close(fd)))
    }

    /// A signal in so many virtual nanoseconds: it ends the wait that is then under way.
    pub fn signal_after(&self, ns: u64) {
        self.act(|world| world.schedule(ns, Event::Signal));
    }

    /// One round of the thread that polls the submission queue of ring `fd`. True if it took
    /// entries. A thread that sleeps does nothing until IORING_ENTER_SQ_WAKEUP.
    pub fn run_sq_thread(&self, fd: i32) -> Result<bool, Errno> {
        self.act(|world| {
            let ring = world.ring_of_fd(fd)?;
            let worked = world.sq_thread_step(ring);
            world.settle_call();
            Ok(worked)
        })
    }

    /// Let the poll thread of ring `fd` find its idle time used up. True if it sleeps now; it
    /// takes what was published first.
    pub fn idle_sq_thread(&self, fd: i32) -> Result<bool, Errno> {
        self.act(|world| {
            let ring = world.ring_of_fd(fd)?;
            let now = world.now;
            if let Some(thread) = &mut world.rings[ring].sq_thread {
                thread.worked_at = now.saturating_sub(thread.idle_ns);
            }
            world.sq_thread_step(ring);
            world.settle_call();
            Ok(world.rings[ring].sq_thread.as_ref().is_some_and(|thread| thread.asleep))
        })
    }

    /// Add to the fault plan. Numbers count from now.
    pub fn plan(&self, plan: &FaultPlan) {
        self.act(|world| world.faults.plan(plan));
    }

    /// Keep a list of every call that is made from now on.
    pub fn log_calls(&self) {
        self.act(|world| world.faults.keep_log());
    }

    /// The calls made since, in their order.
    pub fn calls(&self) -> Vec<Made> {
        self.world().faults.log().to_vec()
    }

    /// How many planned faults have not happened yet.
    pub fn faults_left(&self) -> usize {
        self.world().faults.left()
    }

    /// Every entry the kernel took, in the order in which it took them.
    pub fn submitted(&self) -> Vec<Submitted> {
        self.world().submitted.clone()
    }

    /// Every completion, in the order in which they were posted.
    pub fn completed(&self) -> Vec<Completed> {
        self.world().completed.clone()
    }

    /// What was done to this kernel that no correct program does.
    pub fn violations(&self) -> Vec<String> {
        self.world().violations.clone()
    }

    /// Mappings that were made and not undone.
    pub fn live_maps(&self) -> usize {
        self.world().maps.len()
    }

    /// All open descriptors.
    pub fn open_fds(&self) -> Vec<i32> {
        self.world().files.fds().collect()
    }

    /// Requests the kernel has taken and not ended.
    pub fn in_flight(&self) -> usize {
        self.world().requests.len()
    }

    /// How often each thing was done.
    pub fn stats(&self) -> Stats {
        let world = self.world();
        Stats {
            setups: world.faults.calls_made(Call::Setup),
            enters: world.faults.calls_made(Call::Enter),
            registers: world.faults.calls_made(Call::Register),
            maps: world.faults.calls_made(Call::Map),
            requests: world.faults.requests_taken(),
            completions: world.completed.len() as u64,
            overflows: world.completed.iter().filter(|c| c.overflowed).count() as u64,
            stuck: world.stuck,
        }
    }

    /// Forget the record of entries, completions and violations; a long test does this now and
    /// then. The counters of [`SimKernel::stats`] that are counted from it start anew.
    pub fn clear_record(&self) {
        let mut world = self.world();
        world.submitted.clear();
        world.completed.clear();
        world.violations.clear();
    }
}
