//! Ancillary data: building and taking apart the control part of a message, by hand and with
//! every length checked, because what comes back was written by others.

use crate::sys::os::cmsghdr;

const HEADER: usize = core::mem::size_of::<cmsghdr>();
const ALIGN: usize = core::mem::size_of::<usize>();

const fn align(len: usize) -> usize {
    (len + ALIGN - 1) & !(ALIGN - 1)
}

/// Bytes one item of `len` bytes takes with its header: CMSG_SPACE(3).
pub const fn space(len: usize) -> usize {
    align(HEADER) + align(len)
}

/// Control bytes, aligned as the kernel wants them.
#[derive(Default)]
pub struct Control {
    words: Vec<usize>,
    len: usize,
}

impl Control {
    /// Room for `len` bytes, zeroed.
    pub fn with_room(len: usize) -> Self {
        Control { words: vec![0; len.div_ceil(ALIGN)], len }
    }

    /// Bytes there are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// For the message header.
    pub fn as_mut_ptr(&mut self) -> *mut usize {
        self.words.as_mut_ptr()
    }

    /// Append an item.
    pub fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let start = align(self.len);
        let end = start + space(data.len());
        self.words.resize(end / ALIGN, 0);
        self.len = end;
        let length = align(HEADER) + data.len();
        let bytes = self.bytes_mut();
        bytes[start..start + ALIGN].copy_from_slice(&length.to_ne_bytes());
        bytes[start + ALIGN..start + ALIGN + 4].copy_from_slice(&level.to_ne_bytes());
        bytes[start + ALIGN + 4..start + ALIGN + 8].copy_from_slice(&kind.to_ne_bytes());
        let at = start + align(HEADER);
        bytes[at..at + data.len()].copy_from_slice(data);
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.words.len() * ALIGN;
        // SAFETY: the words' own bytes, all initialised, ours alone (I1).
        unsafe { core::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), len) }
    }

    fn bytes(&self) -> &[u8] {
        let len = self.words.len() * ALIGN;
        // SAFETY: the words' own bytes; the kernel is done with them when this is called (I2).
        unsafe { core::slice::from_raw_parts(self.words.as_ptr().cast(), len) }
    }

    /// The items within the first `used` bytes. A length that does not fit ends the list.
    pub fn decode(&self, used: usize) -> Vec<(i32, i32, Vec<u8>)> {
        let bytes = self.bytes();
        let used = used.min(self.len).min(bytes.len());
        let mut items = Vec::new();
        let mut at = 0;
        while at + HEADER <= used {
            let word =
                |from: usize| i32::from_ne_bytes(bytes[from..from + 4].try_into().expect("4"));
            let length = usize::from_ne_bytes(bytes[at..at + ALIGN].try_into().expect("a word"));
            if length < HEADER || length > used - at {
                break;
            }
            let data = bytes[at + align(HEADER)..at + length].to_vec();
            items.push((word(at + ALIGN), word(at + ALIGN + 4), data));
            at += align(length);
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_comes_back() {
        let mut control = Control::default();
        control.push(1, 2, b"abc");
        control.push(3, 4, b"");
        control.push(5, 6, &[7; 16]);
        let items = control.decode(control.len());
        assert_eq!(items, [(1, 2, b"abc".to_vec()), (3, 4, Vec::new()), (5, 6, vec![7; 16])]);
    }

    #[test]
    fn lying_lengths_end_the_list() {
        for lie in [0usize, 1, HEADER - 1, 1000, usize::MAX] {
            let mut control = Control::default();
            control.push(1, 2, b"abcdefgh");
            control.push(3, 4, b"x");
            let second = space(8);
            control.bytes_mut()[second..second + ALIGN].copy_from_slice(&lie.to_ne_bytes());
            assert_eq!(control.decode(control.len()), [(1, 2, b"abcdefgh".to_vec())]);
        }
    }

    #[test]
    fn more_than_there_is_room_for_is_not_read() {
        let mut control = Control::default();
        control.push(1, 2, b"abcdefgh");
        assert_eq!(control.decode(usize::MAX).len(), 1);
        assert_eq!(control.decode(HEADER + 1).len(), 0);
        assert_eq!(control.decode(0).len(), 0);
    }
}
