//! Futexes: 32-bit words in memory that requests sleep on.

use pyo3::exceptions::{PyTypeError, PyValueError};

use super::*;
use crate::ops::futex::{self, Word, WORD};
use crate::py::keep::{Access, Keep, Memory};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::FUTEX_WAITV_MAX;

builders! {
    /// Wait on a word of memory until it is woken, if it has the value expected.
    ///
    /// Args:
    ///     buf: C-contiguous buffer that has the word: an aligned 32-bit integer of this machine's
    ///         byte order.
    ///     value: what the word must be; otherwise the request ends at once with EAGAIN.
    ///     offset: where in `buf` the word is, in bytes.
    ///     mask: only a wake-up whose mask has one of these bits counts.
    ///     shared: the word may be in memory shared with other processes, who wait and wake by
    ///         their own mapping of it. Otherwise only this process takes part, which is faster.
    ///
    /// Raises:
    ///     ValueError: the word is not within `buf` or not aligned to 4 bytes; `mask` is 0.
    ///     OverflowError: `value` or `mask` does not fit into 32 bits.
    ///
    /// Kernel: 6.7.
    /// Memory: `buf` is locked until the completion.
    /// Result: 0 when woken, -EAGAIN when the word had another value, -ECANCELED.
    /// Source: io_uring_prep_futex_wait(3), futex(2).
    fn prep_futex_wait / futex_wait(buf: Any<'_, '_>, value: u32, offset: i64, mask: u32,
        shared: bool)
        [buf, value, offset = 0,] [mask = 0xffff_ffff, shared = false,]
        = |keep| wait(keep, buf, value, offset, mask, shared);

    /// Wake those that wait on a word of memory, through a ring or by futex(2).
    ///
    /// Args:
    ///     buf, offset: the word, as for prep_futex_wait.
    ///     count: wake at most so many.
    ///     mask: only those whose mask has one of these bits.
    ///     shared: as those that wait have it.
    ///
    /// Change the word first, so that nobody goes to sleep on the old value meanwhile.
    ///
    /// Raises: as prep_futex_wait; ValueError for a `count` below 0 or above 2**31 - 1.
    ///
    /// Kernel: 6.7.
    /// Memory: `buf` is locked until the completion.
    /// Result: how many were woken.
    /// Source: io_uring_prep_futex_wake(3), futex(2).
    fn prep_futex_wake / futex_wake(buf: Any<'_, '_>, count: i64, offset: i64, mask: u32,
        shared: bool)
        [buf, count = 1, offset = 0,] [mask = 0xffff_ffff, shared = false,]
        = |keep| wake(keep, buf, count, offset, mask, shared);

    /// Wait on several words of memory until one is woken, if all have the values expected.
    ///
    /// Args:
    ///     words: an iterable of 1 to 128 (buf, value) or (buf, value, offset), each as the
    ///         arguments of prep_futex_wait.
    ///     shared: as for prep_futex_wait, for all of them.
    ///
    /// Raises:
    ///     ValueError: none or more than 128; a word is not within its buffer or not aligned.
    ///     TypeError: something else than (buf, value, offset).
    ///
    /// Kernel: 6.7.
    /// Memory: all the buffers are locked until the completion.
    /// Result: which one was woken, counted from 0; -EAGAIN when one had another value,
    ///     -ECANCELED.
    /// Source: io_uring_prep_futex_waitv(3), futex_waitv(2).
    fn prep_futex_waitv / futex_waitv(words: Any<'_, '_>, shared: bool)
        [words,] [shared = false,]
        = |keep| waitv(keep, words, shared);
}

/// The word at `offset` of an exported buffer.
fn word(memory: Memory, offset: i64, shared: bool) -> PyResult<Word> {
    let last = memory.len.checked_sub(WORD);
    let within = usize::try_from(offset).ok().zip(last).filter(|(at, last)| at <= last);
    let Some((offset, _)) = within else {
        let len = memory.len;
        return Err(PyValueError::new_err(format!(
            "the 4 bytes at offset {offset} are not within the {len} of the buffer"
        )));
    };
    let addr = memory.addr + offset as u64;
    if addr % WORD as u64 != 0 {
        return Err(PyValueError::new_err("a futex word must be aligned to 4 bytes"));
    }
    Ok(Word { addr, shared })
}

fn some(mask: u32) -> PyResult<u32> {
    match mask {
        0 => Err(PyValueError::new_err("mask must not be 0: nothing could ever wake it")),
        mask => Ok(mask),
    }
}

fn wait(
    keep: &mut Keep,
    buf: Any<'_, '_>,
    value: u32,
    offset: i64,
    mask: u32,
    shared: bool,
) -> PyResult<io_uring_sqe> {
    let mask = some(mask)?;
    let memory = keep.export(buf, Access::Source)?;
    Ok(futex::wait(word(memory, offset, shared)?, value, mask))
}

fn wake(
    keep: &mut Keep,
    buf: Any<'_, '_>,
    count: i64,
    offset: i64,
    mask: u32,
    shared: bool,
) -> PyResult<io_uring_sqe> {
    let mask = some(mask)?;
    let count = i32::try_from(count).ok().and_then(|count| u32::try_from(count).ok());
    let count = count.ok_or_else(|| PyValueError::new_err("count must be 0 to 2**31 - 1"))?;
    let memory = keep.export(buf, Access::Source)?;
    Ok(futex::wake(word(memory, offset, shared)?, count, mask))
}

fn waitv(keep: &mut Keep, words: Any<'_, '_>, shared: bool) -> PyResult<io_uring_sqe> {
    let mut list = Vec::new();
    for item in words.try_iter()? {
        let item = item?;
        if list.len() == FUTEX_WAITV_MAX as usize {
            return Err(PyValueError::new_err(format!("more than {FUTEX_WAITV_MAX} words")));
        }
        let (buf, value, offset) = one_word(&item).map_err(|error| not_a_word(item.py(), error))?;
        let memory = keep.export_more(&buf, Access::Source)?;
        list.push((word(memory, offset, shared)?, value));
    }
    if list.is_empty() {
        return Err(PyValueError::new_err("there must be at least one word to wait on"));
    }
    let (sqe, args) = futex::waitv(&list);
    keep.keep_args(args);
    Ok(sqe)
}

/// (buf, value, offset), the last of which may be left out.
fn one_word<'py>(item: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, u32, i64)> {
    if item.len()? == 2 {
        let (buf, value) = item.extract()?;
        return Ok((buf, value, 0));
    }
    item.extract()
}

/// What is wrong with an item, in the caller's terms; numbers that do not fit stay that.
fn not_a_word(py: Python<'_>, error: PyErr) -> PyErr {
    if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(py) {
        return error;
    }
    PyTypeError::new_err("each word must be given as (buf, value, offset)")
}
