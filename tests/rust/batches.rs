//! The batches of a ring against a model: keys, the bit of each element, and owners let go once.

use std::collections::{HashMap, HashSet};
use std::ptr::NonNull;

use proptest::prelude::*;
use uring_rs::ring::batches::{BatchCqe, Batches, Sink, BATCHES_MAX, ELEMENTS_MAX, PREFIX};
use uring_rs::ring::slots::Kind;
use uring_rs::sys::abi::io_uring_cqe;
use uring_rs::sys::consts::IORING_CQE_F_MORE;

/// What was not written by a result.
const UNTOUCHED: i32 = i32::MIN;

/// One completion alone. False if it was nobody's.
fn complete(batches: &mut Batches, user_data: u64, res: i32, flags: u32) -> bool {
    batches.complete(io_uring_cqe { user_data, res, flags }, |_| None) == 0
}

#[derive(Clone, Debug)]
enum Step {
    Begin { count: u32, tag: Option<u64> },
    Stage { which: usize, count: u32 },
    Seal { which: usize },
    Complete { which: usize, res: i32, flags: u32 },
    CompleteAgain { which: usize },
    Foreign { key: u64 },
    TakeBack { which: usize },
    TakeBackAgain { which: usize },
    Release,
    Drain { count: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<usize>();
    let count = prop_oneof![1..10u32, Just(63), Just(64), Just(65), 1..200u32];
    let tag = prop_oneof![Just(None), any::<u64>().prop_map(Some)];
    let more = prop_oneof![Just(0), Just(IORING_CQE_F_MORE), any::<u32>()];
    prop_oneof![
        2 => (count.clone(), tag).prop_map(|(count, tag)| Step::Begin { count, tag }),
        4 => (which, count).prop_map(|(which, count)| Step::Stage { which, count }),
        2 => which.prop_map(|which| Step::Seal { which }),
        8 => (which, any::<i32>(), more)
            .prop_map(|(which, res, flags)| Step::Complete { which, res, flags }),
        2 => which.prop_map(|which| Step::CompleteAgain { which }),
        1 => any::<u64>().prop_map(|key| Step::Foreign { key: key & !0xff | Kind::Batch as u64 }),
        1 => which.prop_map(|which| Step::TakeBack { which }),
        1 => which.prop_map(|which| Step::TakeBackAgain { which }),
        2 => Just(Step::Release),
        1 => (0..20usize).prop_map(|count| Step::Drain { count }),
    ]
}

/// One batch as it should be.
struct Modelled {
    id: u16,
    count: u32,
    next: u32,
    sealed: bool,
    tag: Option<u64>,
    /// Its results where they go into an array; boxed, so that they stay where they are.
    array: Box<[i32]>,
    expected: Vec<i32>,
}

struct Model {
    batches: Batches,
    open: Vec<Modelled>,
    /// Batches that have ended and were not let go of.
    ended: HashSet<u16>,
    /// Each key in flight, with the number of its batch and its element.
    in_flight: Vec<(u64, u16, u32)>,
    /// Keys that are over.
    over: Vec<u64>,
    done: Vec<BatchCqe>,
}

impl Model {
    fn new() -> Self {
        Model {
            batches: Batches::default(),
            open: Vec::new(),
            ended: HashSet::new(),
            in_flight: Vec::new(),
            over: Vec::new(),
            done: Vec::new(),
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Begin { count, tag } => self.begin(count, tag),
            Step::Stage { which, count } => self.stage(which, count),
            Step::Seal { which } => self.seal(which),
            Step::Complete { which, res, flags } => self.complete(which, res, flags),
            Step::CompleteAgain { which } if !self.over.is_empty() => {
                self.refused(self.over[which % self.over.len()]);
            }
            Step::Foreign { key } if !self.in_flight.iter().any(|(known, ..)| *known == key) => {
                self.refused(key);
            }
            Step::TakeBack { which } if !self.in_flight.is_empty() => {
                let (key, ..) = self.in_flight[which % self.in_flight.len()];
                self.batches.taken_back(key);
                self.is_over(key);
            }
            Step::TakeBackAgain { which } if !self.over.is_empty() => {
                self.batches.taken_back(self.over[which % self.over.len()]);
            }
            Step::Release => self.release(),
            Step::Drain { count } => self.drain(count),
            _ => {}
        }
    }

    fn begin(&mut self, count: u32, tag: Option<u64>) {
        let mut array = vec![UNTOUCHED; count as usize].into_boxed_slice();
        let sink = match tag {
            Some(tag) => Sink::Queue(tag),
            None => Sink::Array(NonNull::new(array.as_mut_ptr()).unwrap()),
        };
        let id = self.batches.begin(count, sink).unwrap();
        assert!(self.open.iter().all(|batch| batch.id != id), "a number given out twice");
        assert!(!self.ended.contains(&id), "an owner would be forgotten");
        let expected = array.to_vec();
        let (next, sealed) = (0, false);
        self.open.push(Modelled { id, count, next, sealed, tag, array, expected });
    }

    fn stage(&mut self, which: usize, count: u32) {
        let mut staging: Vec<_> = self.open.iter_mut().filter(|batch| !batch.sealed).collect();
        if staging.is_empty() {
            return;
        }
        let which = which % staging.len();
        let batch = &mut staging[which];
        let to = batch.count.min(batch.next + count);
        for element in batch.next..to {
            let key = self.batches.key(batch.id, element);
            assert_eq!(key & 0xff, Kind::Batch as u64);
            assert!(!self.over.contains(&key), "a key of old");
            self.in_flight.push((key, batch.id, element));
        }
        self.batches.staged(batch.id, batch.next, to);
        batch.next = to;
    }

    fn seal(&mut self, which: usize) {
        let mut staging: Vec<_> = self.open.iter_mut().filter(|batch| !batch.sealed).collect();
        if staging.is_empty() {
            return;
        }
        let which = which % staging.len();
        staging[which].sealed = true;
        let id = staging[which].id;
        self.batches.sealed(id);
        self.maybe_ended(id);
    }

    fn complete(&mut self, which: usize, res: i32, flags: u32) {
        if self.in_flight.is_empty() {
            return;
        }
        let (key, id, element) = self.in_flight[which % self.in_flight.len()];
        assert!(complete(&mut self.batches, key, res, flags));
        let batch = self.open.iter_mut().find(|batch| batch.id == id).unwrap();
        match batch.tag {
            Some(tag) => {
                let tag = tag.wrapping_add(u64::from(element));
                self.done.push(BatchCqe { tag, res, flags });
            }
            None => batch.expected[element as usize] = res,
        }
        if flags & IORING_CQE_F_MORE == 0 {
            self.is_over(key);
        }
    }

    /// Nobody's completion changes nothing.
    fn refused(&mut self, key: u64) {
        assert!(!complete(&mut self.batches, key, 7, 0), "{key:#x} was taken");
    }

    fn is_over(&mut self, key: u64) {
        let at = self.in_flight.iter().position(|(known, ..)| *known == key).unwrap();
        let (_, id, _) = self.in_flight.swap_remove(at);
        self.over.push(key);
        self.maybe_ended(id);
    }

    fn maybe_ended(&mut self, id: u16) {
        let over = self.in_flight.iter().all(|(_, other, _)| *other != id);
        let at = self.open.iter().position(|batch| batch.id == id).unwrap();
        if over && self.open[at].sealed {
            let batch = self.open.swap_remove(at);
            assert_eq!(&batch.array[..], &batch.expected[..]);
            assert!(self.ended.insert(id));
        }
    }

    fn release(&mut self) {
        match self.batches.next_ended() {
            Some(id) => assert!(self.ended.remove(&id), "let go of twice or too early"),
            None => assert!(self.ended.is_empty()),
        }
    }

    fn drain(&mut self, count: usize) {
        let count = count.min(self.done.len());
        let taken: Vec<_> = self.batches.done().drain(..count).collect();
        assert!(taken.into_iter().eq(self.done.drain(..count)));
    }

    fn check(&mut self) {
        assert_eq!(self.batches.in_flight() as usize, self.in_flight.len());
        assert_eq!(self.batches.done_count(), self.done.len());
        assert_eq!(self.batches.has_ended(), !self.ended.is_empty());
        let keys: HashSet<u64> = self.batches.keys_in_flight().into_iter().collect();
        assert_eq!(keys, self.in_flight.iter().map(|(key, ..)| *key).collect());
        let mut each = HashMap::new();
        self.in_flight.iter().for_each(|(_, id, _)| *each.entry(*id).or_insert(0) += 1);
        for batch in &self.open {
            let count = each.get(&batch.id).copied().unwrap_or(0);
            assert_eq!(self.batches.in_flight_of(batch.id), count);
            assert_eq!(&batch.array[..], &batch.expected[..]);
        }
    }

    fn finish(&mut self) {
        while !self.in_flight.is_empty() {
            self.complete(0, 1, 0);
        }
        while self.open.iter().any(|batch| !batch.sealed) {
            self.seal(0);
        }
        while !self.ended.is_empty() {
            self.release();
        }
        self.release();
        self.drain(usize::MAX);
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_are_what_the_model_says(steps in prop::collection::vec(step(), 1..150)) {
        let mut model = Model::new();
        for step in steps {
            model.run(step);
            model.check();
        }
        model.finish();
    }
}

#[test]
fn a_key_holds_every_number_it_is_made_of() {
    let mut batches = Batches::default();
    let mut keys = HashSet::new();
    for _ in 0..BATCHES_MAX {
        let id = batches.begin(ELEMENTS_MAX.min(8), Sink::Queue(0)).unwrap();
        for element in [0, 1, 255, 256, 65_536, ELEMENTS_MAX - 1] {
            assert!(keys.insert(batches.key(id, element)));
        }
    }
    assert!(keys.iter().all(|key| key & 0xff == Kind::Batch as u64));
    assert_eq!(batches.begin(1, Sink::Queue(0)), None, "there is no number left for it");
    // One that has ended makes place for another.
    batches.sealed(17);
    assert_eq!(batches.begin(1, Sink::Queue(0)), None, "its owner was not let go of yet");
    assert_eq!(batches.next_ended(), Some(17));
    assert_eq!(batches.begin(1, Sink::Queue(0)), Some(17));
    assert!(!keys.contains(&batches.key(17, 0)), "the same key in another life");
}

#[test]
fn a_generation_is_told_from_the_last_million() {
    let mut batches = Batches::default();
    let mut last = None;
    // Over the edge of the generation's 20 bits.
    for _ in 0..(1 << 20) + 5 {
        let id = batches.begin(1, Sink::Queue(0)).unwrap();
        let key = batches.key(id, 0);
        batches.staged(id, 0, 1);
        batches.sealed(id);
        assert_ne!(last, Some(key));
        if let Some(last) = last {
            assert!(!complete(&mut batches, last, 0, 0), "{last:#x} is over");
        }
        assert!(complete(&mut batches, key, 0, 0));
        assert!(!complete(&mut batches, key, 0, 0), "taken twice");
        assert_eq!(batches.next_ended(), Some(id));
        assert_eq!(batches.next_ended(), None);
        batches.done().clear();
        last = Some(key);
    }
    assert_eq!(batches.in_flight(), 0);
}

#[test]
fn the_last_element_there_can_be() {
    let mut batches = Batches::default();
    let id = batches.begin(ELEMENTS_MAX, Sink::Queue(u64::MAX)).unwrap();
    let last = ELEMENTS_MAX - 1;
    batches.staged(id, last, ELEMENTS_MAX);
    let key = batches.key(id, last);
    assert_eq!(batches.keys_in_flight(), [key]);
    let unstaged = batches.key(id, last - 1);
    assert!(!complete(&mut batches, unstaged, 0, 0), "never staged");
    assert!(complete(&mut batches, key, -9, 0));
    // Tags go round.
    let tag = u64::from(last) - 1;
    assert_eq!(batches.done().pop_front(), Some(BatchCqe { tag, res: -9, flags: 0 }));
}

#[test]
fn a_run_of_completions_ends_where_the_batch_does() {
    let mut batches = Batches::default();
    let ids = [70, 3].map(|count| {
        let id = batches.begin(count, Sink::Queue(u64::from(count) * 1000)).unwrap();
        batches.staged(id, 0, count);
        batches.sealed(id);
        id
    });
    let key = |batches: &Batches, which: usize, element| batches.key(ids[which], element);
    // Doubled, never staged, one that goes on, and then another batch's.
    let elements =
        [(0, 0, 0), (0, 69, 0), (0, 0, 0), (0, 70, 0), (0, 5, IORING_CQE_F_MORE), (1, 1, 0)];
    let mut cqes = elements
        .map(|(which, element, flags)| io_uring_cqe {
            user_data: key(&batches, which, element),
            res: element as i32,
            flags,
        })
        .into_iter()
        .peekable();
    let first = cqes.next().unwrap();
    let strays =
        batches.complete(first, |prefix| cqes.next_if(|cqe| cqe.user_data & PREFIX == prefix));
    assert_eq!(strays, 2);
    assert_eq!(cqes.len(), 1);
    assert_eq!(batches.in_flight_of(ids[0]), 68);
    assert_eq!(batches.in_flight(), 71);
    let done: Vec<_> = batches.done().drain(..).map(|cqe| (cqe.tag, cqe.res)).collect();
    assert_eq!(done, [(70_000, 0), (70_069, 69), (70_005, 5)]);
}
