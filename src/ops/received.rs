//! What a multishot recvmsg writes into a buffer: a header, room for the sender's address and for
//! control data, and the payload. Every length in it is somebody else's word.

use crate::ops::address::SockAddr;
use crate::ops::cmsg::Control;
use crate::sys::abi::io_uring_recvmsg_out;

const HEADER: usize = core::mem::size_of::<io_uring_recvmsg_out>();

/// A message taken apart.
pub struct Received {
    /// The sender's address.
    pub sender: SockAddr,
    /// Ancillary data: level, type and bytes of each.
    pub ancillary: Vec<(i32, i32, Vec<u8>)>,
    /// MSG_* flags.
    pub flags: i32,
    /// Where the payload begins, never beyond the bytes there are.
    pub payload: usize,
}

/// Take the `len` bytes at `from` apart, with `name` bytes of room for the address and `control` for
/// control data. What is too short for all of that has no payload, and nothing else.
///
/// # Safety
/// `len` bytes must be readable at `from`. They are only copied.
pub unsafe fn take_apart(from: *const u8, len: usize, name: usize, control: usize) -> Received {
    let mut sender = SockAddr::new();
    sender.set_len(0);
    let payload = HEADER + name + control;
    if len < payload {
        return Received { sender, ancillary: Vec::new(), flags: 0, payload: len };
    }
    // SAFETY: the caller's promise: so many bytes are there, and are only copied (I5).
    let out = unsafe { from.cast::<io_uring_recvmsg_out>().read_unaligned() };
    // Cut to the room that there is here, too.
    sender.set_len((out.namelen as usize).min(name) as u32);
    let name_len = sender.len() as usize;
    let mut items = Control::with_room(control.min(out.controllen as usize));
    // SAFETY: as above; both have room for what is copied (I5).
    unsafe {
        let to = sender.as_mut_ptr().cast::<u8>();
        core::ptr::copy_nonoverlapping(from.add(HEADER), to, name_len);
        let to = items.as_mut_ptr().cast::<u8>();
        core::ptr::copy_nonoverlapping(from.add(HEADER + name), to, items.len());
    }
    let ancillary = items.decode(items.len());
    Received { sender, ancillary, flags: out.flags as i32, payload }
}
