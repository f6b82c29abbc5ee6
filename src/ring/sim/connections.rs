//! ACCEPT and CONNECT.

use super::files::{FileId, Object};
use super::issue::Outcome;
use super::request::{copy_out, read_user, write_user, ReqId, State};
use super::world::World;
use crate::sys::consts::IORING_CQE_F_MORE;
use crate::sys::Errno;

impl World {
    pub(super) fn connect(&mut self, file: FileId, address: &[u8]) -> Outcome {
        match self.files.object(file) {
            Some(Object::Socket(socket)) => Outcome::of(self.files.connect(socket, address)),
            _ => Outcome::failed(Errno::ENOTSOCK),
        }
    }

    pub(super) fn accept(
        &mut self,
        id: ReqId,
        file: FileId,
        user_address: (u64, u64),
        multishot: bool,
        dontwait: bool,
    ) -> Outcome {
        let Some(Object::Socket(listener)) = self.files.object(file) else {
            return Outcome::failed(Errno::ENOTSOCK);
        };
        loop {
            let (fd, peer) = match self.files.accept(listener) {
                Err(Errno::EAGAIN) if !dontwait => return Outcome::Wait,
                Err(errno) => return Outcome::failed(errno),
                Ok(accepted) => accepted,
            };
            if let Err(errno) = write_address(user_address, &peer) {
                // Nobody will ever hear of this descriptor.
                let _ = self.files.close(fd);
                return Outcome::failed(errno);
            }
            let Some(request) = self.requests.get(&id).filter(|_| multishot) else {
                return Outcome::Done(fd, false);
            };
            let (ring, user_data) = (request.ring, request.user_data);
            // Until it waits for the next one it is not to be found by a cancellation.
            debug_assert!(request.state != State::Ended);
            if !self.post_more(ring, user_data, fd, IORING_CQE_F_MORE) {
                return Outcome::Done(fd, false);
            }
        }
    }
}

/// Tell the user who connected. The length is read only now: it belongs to the kernel until the
/// request has ended.
fn write_address((addr, len_addr): (u64, u64), peer: &[u8]) -> Result<(), Errno> {
    if addr == 0 {
        return Ok(());
    }
    // SAFETY: the request is in flight, so its slot keeps the length alive (I2).
    let room: i32 = unsafe { read_user(len_addr) }?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    // SAFETY: as above, for the address (I2).
    unsafe { copy_out(addr, &peer[..peer.len().min(room)]) }?;
    // SAFETY: as above (I2).
    unsafe { write_user(len_addr, peer.len() as i32) }
}
