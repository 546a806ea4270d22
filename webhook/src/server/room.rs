//! Room that is bounded, and who gives way when it is short.

use std::{
    collections::BTreeMap,
    future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::Instant,
};

/// Room for so many units, of which each guest holds some.
///
/// When none is left, the oldest guest who has not proven worth its room gives
/// way: of a thousand clients that connect and say nothing, or send half a body,
/// each costs the one before it, and not the client that comes with a review.
/// If nobody has to give way, the newcomer gets no room.
#[derive(Debug)]
pub(super) struct Room {
    units: Arc<Semaphore>,
    /// How long a guest may take to prove itself before it has to give way.
    patience: Duration,
    guests: Mutex<Guests>,
}

#[derive(Debug, Default)]
struct Guests {
    next: u64,
    /// Those who have not proven themselves; by number, so the oldest first.
    unproven: BTreeMap<u64, Unproven>,
}

#[derive(Debug)]
struct Unproven {
    since: Instant,
    ask: oneshot::Sender<Gone>,
}

/// Dropped by a guest that was asked to leave, after all it held.
pub(super) type Gone = oneshot::Sender<()>;

impl Room {
    pub(super) fn new(units: usize, patience: Duration) -> Arc<Self> {
        let units = Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { units, patience, guests: Mutex::default() })
    }

    /// A guest that holds nothing yet, and what tells it to leave.
    pub(super) fn enter(self: &Arc<Self>) -> (Guest, Asked) {
        let (ask, asked) = oneshot::channel();
        let mut guests = self.guests();
        let number = guests.next;
        guests.next += 1;
        guests.unproven.insert(number, Unproven { since: Instant::now(), ask });
        let held = Vec::new();
        (Guest { held, number, room: Arc::clone(self) }, Asked(asked))
    }

    /// That guest has proven itself, and keeps what it holds while it stays.
    pub(super) fn keep(&self, guest: u64) {
        self.guests().unproven.remove(&guest);
    }

    /// Asks the oldest that has to give way to leave; `None` if that is nobody,
    /// or the one who asks.
    fn ask(&self, asking: u64) -> Option<oneshot::Receiver<()>> {
        let mut guests = self.guests();
        loop {
            let oldest = guests.unproven.first_entry()?;
            if *oldest.key() == asking || oldest.get().since.elapsed() < self.patience {
                return None;
            }
            let (gone, left) = oneshot::channel();
            // One that is just leaving by itself hears nothing more.
            if oldest.remove().ask.send(gone).is_ok() {
                return Some(left);
            }
        }
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        // No code that could panic runs while it is locked.
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds units of a room until it is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    held: Vec<OwnedSemaphorePermit>,
    number: u64,
    room: Arc<Room>,
}

impl Guest {
    /// Names the guest to [`Room::keep`].
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Has proven itself, and keeps what it holds while it stays.
    pub(super) fn keep(&self) {
        self.room.keep(self.number);
    }

    /// Takes that many units more, waiting for whoever has to give way to leave.
    ///
    /// # Errors
    /// There is no room, and nobody has to give way.
    pub(super) async fn take(&mut self, units: usize) -> Result<(), Full> {
        let units = u32::try_from(units).map_err(|_| Full)?;
        loop {
            if let Ok(permit) = Arc::clone(&self.room.units).try_acquire_many_owned(units) {
                self.held.push(permit);
                return Ok(());
            }
            // An error is what a guest that left says: it dropped its end.
            let _ = self.room.ask(self.number).ok_or(Full)?.await;
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.room.keep(self.number);
    }
}

/// There is no room, and nobody has to give way.
#[derive(Debug)]
pub(super) struct Full;

/// Tells a guest to leave.
#[derive(Debug)]
pub(super) struct Asked(oneshot::Receiver<Gone>);

impl Asked {
    /// Waits until the guest is asked to leave, which is never once it has
    /// proven itself. What is returned is to be dropped last.
    pub(super) async fn wait(self) -> Gone {
        match self.0.await {
            Ok(gone) => gone,
            Err(_) => future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    /// A guest on a task of its own, which stays until it is asked to leave.
    async fn stays(room: &Arc<Room>, units: usize) -> (u64, tokio::task::JoinHandle<()>) {
        let (mut guest, asked) = room.enter();
        guest.take(units).await.unwrap();
        let number = guest.number();
        let staying = tokio::spawn(async move {
            let _gone = asked.wait().await;
            drop(guest);
        });
        (number, staying)
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_that_is_unproven_gives_way() {
        let room = Room::new(3, PATIENCE);
        let (proven, kept) = stays(&room, 1).await;
        room.keep(proven);
        let (_, oldest) = stays(&room, 1).await;
        let (_, younger) = stays(&room, 1).await;
        tokio::time::advance(PATIENCE).await;

        let (mut newcomer, _asked) = room.enter();
        newcomer.take(1).await.unwrap();
        oldest.await.unwrap();
        assert!(!younger.is_finished() && !kept.is_finished());

        newcomer.take(1).await.unwrap();
        younger.await.unwrap();
        newcomer.take(1).await.expect_err("what is left belongs to one that has proven itself");
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_give_way_as_it_takes() {
        let room = Room::new(4, PATIENCE);
        for _ in 0..4 {
            stays(&room, 1).await;
        }
        tokio::time::advance(PATIENCE).await;
        let (mut newcomer, _asked) = room.enter();
        newcomer.take(3).await.unwrap();
        newcomer.take(1).await.unwrap();
        newcomer.take(1).await.expect_err("it holds all there is");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_gives_way_before_its_time() {
        let room = Room::new(1, PATIENCE);
        let (_, oldest) = stays(&room, 1).await;
        let (mut newcomer, _asked) = room.enter();
        newcomer.take(1).await.expect_err("the other has just come");
        tokio::time::advance(PATIENCE).await;
        newcomer.take(1).await.unwrap();
        oldest.await.unwrap();
    }

    #[tokio::test]
    async fn a_guest_that_leaves_frees_its_room() {
        let room = Room::new(1, PATIENCE);
        for _ in 0..3 {
            let (mut guest, _asked) = room.enter();
            guest.take(1).await.unwrap();
        }
        assert!(room.guests().unproven.is_empty());
    }
}
