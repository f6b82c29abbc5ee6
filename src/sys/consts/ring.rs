//! Constants of the ring itself: setup, mapping, entering, features, shared flags.

super::constants! { TABLE:
    IORING_SETUP_IOPOLL: u32 = 1 << 0, "Completions are polled for (5.1).";
    IORING_SETUP_SQPOLL: u32 = 1 << 1, "A kernel thread polls the submission queue (5.1).";
    IORING_SETUP_SQ_AFF: u32 = 1 << 2, "`sq_thread_cpu` is valid (5.1).";
    IORING_SETUP_CQSIZE: u32 = 1 << 3, "`cq_entries` is valid (5.5).";
    IORING_SETUP_CLAMP: u32 = 1 << 4, "Too many entries: take the most there can be (5.6).";
    IORING_SETUP_ATTACH_WQ: u32 = 1 << 5, "Share the workers of the ring `wq_fd` (5.6).";
    IORING_SETUP_R_DISABLED: u32 = 1 << 6, "Begin disabled (5.10).";
    IORING_SETUP_SUBMIT_ALL: u32 = 1 << 7, "An invalid entry does not stop a submission (5.18).";
    IORING_SETUP_COOP_TASKRUN: u32 = 1 << 8, "No interrupt for task work (5.19).";
    IORING_SETUP_TASKRUN_FLAG: u32 = 1 << 9, "Task work shows in `IORING_SQ_TASKRUN` (5.19).";
    IORING_SETUP_SQE128: u32 = 1 << 10, "Submission entries of 128 bytes (5.19).";
    IORING_SETUP_CQE32: u32 = 1 << 11, "Completion entries of 32 bytes (5.19).";
    IORING_SETUP_SINGLE_ISSUER: u32 = 1 << 12, "Only one thread submits (6.0).";
    IORING_SETUP_DEFER_TASKRUN: u32 = 1 << 13, "Task work runs only while entering (6.1).";
    IORING_SETUP_NO_MMAP: u32 = 1 << 14, "The application provides the memory (6.5).";
    IORING_SETUP_REGISTERED_FD_ONLY: u32 = 1 << 15, "A registered index, no descriptor (6.5).";
    IORING_SETUP_NO_SQARRAY: u32 = 1 << 16, "No index array (6.6).";
    IORING_SETUP_HYBRID_IOPOLL: u32 = 1 << 17, "Sleep a while before polling (6.13).";
    IORING_SETUP_CQE_MIXED: u32 = 1 << 18, "Completion entries of 16 and of 32 bytes (6.18).";

    IORING_OFF_SQ_RING: u64 = 0, "Offset of the submission queue.";
    IORING_OFF_CQ_RING: u64 = 0x800_0000, "Offset of the completion queue.";
    IORING_OFF_SQES: u64 = 0x1000_0000, "Offset of the submission entries.";
    IORING_OFF_PBUF_RING: u64 = 0x8000_0000, "Offset of buffer rings.";
    IORING_OFF_PBUF_SHIFT: u32 = 16, "Where the buffer group is in such an offset.";
    IORING_OFF_MMAP_MASK: u64 = 0xf800_0000, "The bits that say which region.";

    IORING_SQ_NEED_WAKEUP: u32 = 1 << 0, "The polling thread sleeps.";
    IORING_SQ_CQ_OVERFLOW: u32 = 1 << 1, "Completions wait outside a full completion queue.";
    IORING_SQ_TASKRUN: u32 = 1 << 2, "Task work waits for an enter.";

    IORING_CQ_EVENTFD_DISABLED: u32 = 1 << 0, "Set by us: do not signal the eventfd.";

    IORING_ENTER_GETEVENTS: u32 = 1 << 0, "Wait for `min_complete` completions.";
    IORING_ENTER_SQ_WAKEUP: u32 = 1 << 1, "Wake the polling thread.";
    IORING_ENTER_SQ_WAIT: u32 = 1 << 2, "Wait for space in the submission queue (5.10).";
    IORING_ENTER_EXT_ARG: u32 = 1 << 3, "The argument is an `io_uring_getevents_arg` (5.11).";
    IORING_ENTER_REGISTERED_RING: u32 = 1 << 4, "The descriptor is a registered index (5.18).";
    IORING_ENTER_ABS_TIMER: u32 = 1 << 5, "The time limit is absolute (6.12).";
    IORING_ENTER_EXT_ARG_REG: u32 = 1 << 6, "The argument is an offset in the wait region (6.13).";
    IORING_ENTER_NO_IOWAIT: u32 = 1 << 7, "Do not count the wait as iowait (6.15).";

    IORING_FEAT_SINGLE_MMAP: u32 = 1 << 0, "One mapping holds both queues (5.4).";
    IORING_FEAT_NODROP: u32 = 1 << 1, "Completions are never dropped (5.5).";
    IORING_FEAT_SUBMIT_STABLE: u32 = 1 << 2, "Arguments may go once submitted (5.5).";
    IORING_FEAT_RW_CUR_POS: u32 = 1 << 3, "Offset -1 is the file position (5.6).";
    IORING_FEAT_CUR_PERSONALITY: u32 = 1 << 4, "Requests have the submitter's credentials (5.6).";
    IORING_FEAT_FAST_POLL: u32 = 1 << 5, "Waiting for readiness needs no worker (5.7).";
    IORING_FEAT_POLL_32BITS: u32 = 1 << 6, "Poll takes 32 bits of events (5.9).";
    IORING_FEAT_SQPOLL_NONFIXED: u32 = 1 << 7, "SQPOLL needs no registered files (5.11).";
    IORING_FEAT_EXT_ARG: u32 = 1 << 8, "`IORING_ENTER_EXT_ARG` (5.11).";
    IORING_FEAT_NATIVE_WORKERS: u32 = 1 << 9, "Workers are threads of the process (5.12).";
    IORING_FEAT_RSRC_TAGS: u32 = 1 << 10, "Tags and updates of buffers (5.13).";
    IORING_FEAT_CQE_SKIP: u32 = 1 << 11, "`IOSQE_CQE_SKIP_SUCCESS` (5.17).";
    IORING_FEAT_LINKED_FILE: u32 = 1 << 12, "A link may use a file opened earlier in it (5.17).";
    IORING_FEAT_REG_REG_RING: u32 = 1 << 13, "Registering through a registered ring (6.3).";
    IORING_FEAT_RECVSEND_BUNDLE: u32 = 1 << 14, "`IORING_RECVSEND_BUNDLE` (6.10).";
    IORING_FEAT_MIN_TIMEOUT: u32 = 1 << 15, "`min_wait_usec` (6.12).";
    IORING_FEAT_RW_ATTR: u32 = 1 << 16, "Attributes of reads and writes (6.14).";
    IORING_FEAT_NO_IOWAIT: u32 = 1 << 17, "`IORING_ENTER_NO_IOWAIT` (6.15).";
}
