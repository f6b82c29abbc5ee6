//! Operations whose entries have 128 bytes.

use super::*;
use crate::ops::wide;

builders! {
    /// Do nothing, with an entry of 128 bytes, on a ring made with SetupFlags.SQE128.
    ///
    /// Raises:
    ///     ValueError: the entries of the ring have 64 bytes.
    ///
    /// Kernel: 6.19; before that the result is -EINVAL.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_nop128(3).
    fn prep_nop128 / nop128()
        [] []
        = |keep| {
            keep.set_second_half([0; 8]);
            Ok(wide::nop128())
        };
}
