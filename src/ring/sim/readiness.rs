//! What a selector asks beside its ring: which file a descriptor is, and whether it is ready.

use super::files::Object;
use super::SimKernel;
use crate::ring::kernel::Readiness;
use crate::sys::os::{pollfd, POLLERR, POLLHUP, POLLNVAL};
use crate::sys::readiness::FileIdentity;
use crate::sys::Errno;

impl Readiness for SimKernel {
    fn identity(&self, fd: i32) -> Result<FileIdentity, Errno> {
        self.may_fail("fstat")?;
        let file = self.world().files.lookup(fd).ok_or(Errno::EBADF)?;
        Ok(FileIdentity::new(0, file))
    }

    fn waitable(&self, fd: i32) -> Result<FileIdentity, Errno> {
        self.may_fail("fstat")?;
        let world = self.world();
        let file = world.files.lookup(fd).ok_or(Errno::EBADF)?;
        match world.files.object(file) {
            Some(Object::Regular { .. }) => Err(Errno::EPERM),
            _ => Ok(FileIdentity::new(0, file)),
        }
    }

    fn poll(&self, fds: &mut [pollfd], _timeout_ns: Option<u64>) -> Result<u32, Errno> {
        self.may_fail("ppoll")?;
        let world = self.world();
        let mut ready = 0;
        for each in fds {
            each.revents = match world.files.lookup(each.fd) {
                Some(file) => world.files.poll(file) as i16 & (each.events | POLLERR | POLLHUP),
                None => POLLNVAL,
            };
            ready += u32::from(each.revents != 0);
        }
        Ok(ready)
    }
}
