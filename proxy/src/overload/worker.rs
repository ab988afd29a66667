//! The holders of memory on a worker thread, and the task that sheds them.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use send_wrapper::SendWrapper;
use slab::Slab;

use super::{
    Level, Overload, allocator,
    shed::{Holding, plan},
};

/// The pause between two rounds of shedding while memory is short. After it, the effect of the
/// last round is visible in the usage.
const ROUND: Duration = Duration::from_millis(500);

/// Something that holds memory on this worker.
pub trait Holder {
    /// The memory that it could give back now. `number` is the number of its registration. Called
    /// once in each round.
    fn holding(&self, number: u64) -> Option<Holding>;

    /// Gives the memory back soon.
    fn shed(&self);
}

/// Keeps a holder registered on this thread. It must be dropped on the same thread.
#[must_use = "dropping it ends the registration"]
#[derive(Debug)]
pub struct Registration {
    place: usize,
    /// It must not be sent to another thread.
    _here: std::marker::PhantomData<Rc<()>>,
}

#[derive(Default)]
struct WorkerHolders {
    all: Slab<(u64, Rc<dyn Holder>)>,
    next_number: u64,
}

thread_local! {
    static HOLDERS: RefCell<WorkerHolders> = RefCell::default();
    static SHEDDING: Cell<bool> = const { Cell::new(false) };
}

/// Registers `holder` with this worker.
pub fn register(holder: Rc<dyn Holder>) -> Registration {
    HOLDERS.with_borrow_mut(|holders| {
        let number = holders.next_number;
        holders.next_number += 1;
        Registration {
            place: holders.all.insert((number, holder)),
            _here: std::marker::PhantomData,
        }
    })
}

impl Drop for Registration {
    fn drop(&mut self) {
        // At the end of the thread, the table may have been dropped.
        let holder = HOLDERS.try_with(|holders| holders.borrow_mut().all.try_remove(self.place));
        // Dropped outside the borrow of the table.
        drop(holder);
    }
}

/// Starts this worker's shedding, once. `workers` is the number of all workers.
pub fn keep_shedding(overload: &Arc<Overload>, workers: usize) {
    if SHEDDING.replace(true) {
        return;
    }
    let overload = overload.clone();
    // Workers do not steal tasks, so it stays on this thread.
    tokio::spawn(SendWrapper::new(async move {
        let mut changes = overload.changes.subscribe();
        while changes
            .wait_for(|level| *level > Level::Normal)
            .await
            .is_ok()
        {
            round(overload.level(), overload.excess() / workers.max(1) as u64);
            tokio::time::sleep(ROUND / 2).await;
            // Makes freed memory visible before the next round.
            allocator::flush_thread();
            tokio::time::sleep(ROUND / 2).await;
        }
    }));
}

/// Sheds this worker's holders, to give back `excess` bytes.
fn round(level: Level, excess: u64) {
    let (holders, holdings): (Vec<_>, Vec<_>) = HOLDERS.with_borrow(|holders| {
        let all = holders.all.iter();
        all.filter_map(|(_, (number, holder))| Some((holder.clone(), holder.holding(*number)?)))
            .unzip()
    });
    for place in plan(level, excess, &holdings) {
        holders[place].shed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overload::ShedKind;

    struct Idle(Cell<bool>);

    impl Holder for Idle {
        fn holding(&self, number: u64) -> Option<Holding> {
            let idle = Holding {
                kind: ShedKind::Idle,
                bytes: 10,
                number,
            };
            (!self.0.get()).then_some(idle)
        }

        fn shed(&self) {
            self.0.set(true);
        }
    }

    #[test]
    fn what_is_registered_is_shed_the_first_first_as_far_as_needed() {
        let holders: Vec<_> = (0..4).map(|_| Rc::new(Idle(Cell::new(false)))).collect();
        let mut registered: Vec<_> = holders.iter().map(|h| register(h.clone())).collect();
        let shed = || holders.iter().map(|h| h.0.get()).collect::<Vec<_>>();
        round(Level::Normal, 100);
        assert_eq!(shed(), [false; 4]);
        drop(registered.remove(0));
        round(Level::Scarce, 15);
        assert_eq!(shed(), [false, true, true, false]);
        round(Level::Scarce, 15);
        assert_eq!(shed(), [false, true, true, true]);
        assert_eq!(Rc::strong_count(&holders[0]), 1);
    }
}
