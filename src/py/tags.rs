//! Tags of registered files and buffers: numbers that the ring tells its user when the kernel lets
//! go of what they belong to.
//!
//! The kernel posts a completion with the tag as `user_data`. So a tag is given to it as the key of
//! a message, which can be taken for no request's (I3).

use std::sync::atomic::Ordering;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::ops::message;
use crate::py::ring::PyRing;
use crate::ring::error::RingError;
use crate::ring::slots::message_key;
use crate::sys::consts::*;

/// The tags of neighbouring slots, as keys; 0 for none.
pub(crate) struct Tags(Vec<u64>);

impl Tags {
    /// Where the tags of the slots from the `done`th on are, for the kernel.
    pub(crate) fn address(&self, done: usize) -> u64 {
        self.0[done..].as_ptr() as u64
    }
}

fn key(tag: &Bound<'_, PyAny>, filled: bool) -> PyResult<u64> {
    match u64::try_from(tag.extract::<i128>()?) {
        Ok(0) => Ok(0),
        Ok(_) if !filled => Err(PyValueError::new_err("a slot that gets nothing has no tag")),
        Ok(number) if number <= message::NUMBER_MAX => Ok(message_key(number)),
        _ => Err(PyValueError::new_err("a tag must be 0 to 2**56 - 1")),
    }
}

impl PyRing {
    /// The tags for slots of which `filled` says whether they get something.
    pub(crate) fn tags(
        &self,
        tags: Option<&Bound<'_, PyAny>>,
        filled: impl ExactSizeIterator<Item = bool>,
    ) -> PyResult<Option<Tags>> {
        let Some(tags) = tags else { return Ok(None) };
        if self.params.features & IORING_FEAT_RSRC_TAGS == 0 {
            let error = RingError::Unsupported { what: "tags of resources", since: (5, 13) };
            return Err(self.error(tags.py(), &error));
        }
        let count = filled.len();
        let wrong = || PyValueError::new_err(format!("{count} slots need as many tags"));
        let mut keys = Vec::new();
        let mut given = tags.try_iter()?;
        for filled in filled {
            keys.push(key(&given.next().ok_or_else(wrong)??, filled)?);
        }
        if given.next().transpose()?.is_some() {
            return Err(wrong());
        }
        if keys.iter().any(|key| *key != 0) {
            self.resources.tagged.store(true, Ordering::Relaxed);
        }
        Ok(Some(Tags(keys)))
    }
}
