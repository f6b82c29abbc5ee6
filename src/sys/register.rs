//! The operations of io_uring_register(2) in Linux 6.18.

use super::consts::*;

/// A register operation.
#[derive(Clone, Copy, Debug)]
pub struct RegisterInfo {
    /// The name without `IORING_`.
    pub name: &'static str,
    /// The number.
    pub number: u32,
    /// The first kernel that has it.
    pub since: (u8, u8),
    /// It is asked of a ring; otherwise the descriptor is -1.
    pub needs_ring: bool,
}

macro_rules! register_ops {
    ($count:literal; $(
        $name:ident $number:ident $major:literal, $minor:literal $ring:literal
    )*) => {
        /// Every register operation, by number.
        pub static REGISTER_OPS: [RegisterInfo; $count] = [$(
            RegisterInfo {
                name: stringify!($name),
                number: $number,
                since: ($major, $minor),
                needs_ring: $ring,
            },
        )*];
    };
}

register_ops! { 36;
    REGISTER_BUFFERS IORING_REGISTER_BUFFERS 5, 1 true
    UNREGISTER_BUFFERS IORING_UNREGISTER_BUFFERS 5, 1 true
    REGISTER_FILES IORING_REGISTER_FILES 5, 1 true
    UNREGISTER_FILES IORING_UNREGISTER_FILES 5, 1 true
    REGISTER_EVENTFD IORING_REGISTER_EVENTFD 5, 2 true
    UNREGISTER_EVENTFD IORING_UNREGISTER_EVENTFD 5, 2 true
    REGISTER_FILES_UPDATE IORING_REGISTER_FILES_UPDATE 5, 5 true
    REGISTER_EVENTFD_ASYNC IORING_REGISTER_EVENTFD_ASYNC 5, 6 true
    REGISTER_PROBE IORING_REGISTER_PROBE 5, 6 true
    REGISTER_PERSONALITY IORING_REGISTER_PERSONALITY 5, 6 true
    UNREGISTER_PERSONALITY IORING_UNREGISTER_PERSONALITY 5, 6 true
    REGISTER_RESTRICTIONS IORING_REGISTER_RESTRICTIONS 5, 10 true
    REGISTER_ENABLE_RINGS IORING_REGISTER_ENABLE_RINGS 5, 10 true
    REGISTER_FILES2 IORING_REGISTER_FILES2 5, 13 true
    REGISTER_FILES_UPDATE2 IORING_REGISTER_FILES_UPDATE2 5, 13 true
    REGISTER_BUFFERS2 IORING_REGISTER_BUFFERS2 5, 13 true
    REGISTER_BUFFERS_UPDATE IORING_REGISTER_BUFFERS_UPDATE 5, 13 true
    REGISTER_IOWQ_AFF IORING_REGISTER_IOWQ_AFF 5, 14 true
    UNREGISTER_IOWQ_AFF IORING_UNREGISTER_IOWQ_AFF 5, 14 true
    REGISTER_IOWQ_MAX_WORKERS IORING_REGISTER_IOWQ_MAX_WORKERS 5, 15 true
    REGISTER_RING_FDS IORING_REGISTER_RING_FDS 5, 18 true
    UNREGISTER_RING_FDS IORING_UNREGISTER_RING_FDS 5, 18 true
    REGISTER_PBUF_RING IORING_REGISTER_PBUF_RING 5, 19 true
    UNREGISTER_PBUF_RING IORING_UNREGISTER_PBUF_RING 5, 19 true
    REGISTER_SYNC_CANCEL IORING_REGISTER_SYNC_CANCEL 6, 0 true
    REGISTER_FILE_ALLOC_RANGE IORING_REGISTER_FILE_ALLOC_RANGE 6, 0 true
    REGISTER_PBUF_STATUS IORING_REGISTER_PBUF_STATUS 6, 8 true
    REGISTER_NAPI IORING_REGISTER_NAPI 6, 9 true
    UNREGISTER_NAPI IORING_UNREGISTER_NAPI 6, 9 true
    REGISTER_CLOCK IORING_REGISTER_CLOCK 6, 12 true
    REGISTER_CLONE_BUFFERS IORING_REGISTER_CLONE_BUFFERS 6, 12 true
    REGISTER_SEND_MSG_RING IORING_REGISTER_SEND_MSG_RING 6, 13 false
    REGISTER_ZCRX_IFQ IORING_REGISTER_ZCRX_IFQ 6, 15 true
    REGISTER_RESIZE_RINGS IORING_REGISTER_RESIZE_RINGS 6, 13 true
    REGISTER_MEM_REGION IORING_REGISTER_MEM_REGION 6, 13 true
    REGISTER_QUERY IORING_REGISTER_QUERY 6, 18 false
}

/// What is known of the register operation with this number.
pub fn info(op: u32) -> Option<&'static RegisterInfo> {
    REGISTER_OPS.get(usize::try_from(op).ok()?)
}

/// What is known of the register operation with this name, with or without `IORING_`.
pub fn by_name(name: &str) -> Option<&'static RegisterInfo> {
    let short = name.strip_prefix("IORING_").unwrap_or(name);
    REGISTER_OPS.iter().find(|op| op.name == short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_and_in_order() {
        for (number, op) in REGISTER_OPS.iter().enumerate() {
            assert_eq!(op.number as usize, number, "{}", op.name);
            assert_eq!(info(op.number).map(|found| found.name), Some(op.name));
            assert_eq!(by_name(op.name).map(|found| found.number), Some(op.number));
            assert!((5, 1) <= op.since && op.since <= (6, 18), "{}", op.name);
        }
        assert!(info(36).is_none() && info(u32::MAX).is_none());
    }

    #[test]
    fn every_unregister_has_its_register() {
        for op in &REGISTER_OPS {
            if let Some(what) = op.name.strip_prefix("UNREGISTER_") {
                let register = by_name(&format!("IORING_REGISTER_{what}")).unwrap();
                assert_eq!(register.number + 1, op.number, "{what}");
                assert_eq!(register.since, op.since, "{what}");
            }
        }
    }

    #[test]
    fn only_two_need_no_ring() {
        let names: Vec<_> =
            REGISTER_OPS.iter().filter(|op| !op.needs_ring).map(|op| op.name).collect();
        assert_eq!(names, ["REGISTER_SEND_MSG_RING", "REGISTER_QUERY"]);
    }
}
