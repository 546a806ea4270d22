use std::{sync::Arc, time::Duration};

use axum::body::{Body, HttpBody as _};
use http_body_util::BodyExt as _;

use super::room::{Guest, Room};
use crate::fault::Fault;

/// What bytes are counted in.
const UNIT: usize = 1 << 10;

/// What is set aside for a body at first: most reviews fit.
const FIRST: usize = 16 << 10;

/// The bytes of a whole body, and the room they take.
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    _held: Guest,
}

/// Reads the whole body. One declared too large is not read at all. Room is
/// taken as bytes arrive and not by what was declared: a head costs a client
/// nothing.
pub(super) async fn whole(body: Body, limit: usize, room: &Arc<Room>) -> Result<Whole, Fault> {
    let (guest, asked) = room.enter();
    tokio::select! {
        read = read(body, limit, guest) => read,
        _gone = asked.wait() => Err(Fault::Overload(
            "this body is slow, and its room was needed for others".to_owned(),
        )),
    }
}

async fn read(mut body: Body, limit: usize, mut held: Guest) -> Result<Whole, Fault> {
    let too_large = || Fault::TooLarge { limit };
    let hint = body.size_hint();
    if usize::try_from(hint.lower()).map_or(true, |declared| declared > limit) {
        return Err(too_large());
    }
    let most = hint.upper().and_then(|most| usize::try_from(most).ok()).unwrap_or(limit).min(limit);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Fault::Body(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let size = bytes.len() + data.len();
        if size > limit {
            return Err(too_large());
        }
        if size > bytes.capacity() {
            let capacity = (2 * bytes.capacity()).max(FIRST).min(most).max(size);
            let more = capacity.div_ceil(UNIT) - bytes.capacity().div_ceil(UNIT);
            held.take(more).await.map_err(|_| {
                Fault::Overload("no room for this body beside those being read".to_owned())
            })?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    held.keep();
    Ok(Whole { bytes, _held: held })
}

/// The room for bodies of so many bytes in all.
pub(super) fn room(bytes: usize, patience: Duration) -> Arc<Room> {
    Room::new(bytes / UNIT, patience)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{StreamExt as _, stream};

    use super::*;

    const LIMIT: usize = 64 << 10;
    const PATIENCE: Duration = Duration::from_secs(1);

    /// A body whose size nobody declared, in pieces of that size.
    fn pieces(number: usize, size: usize) -> Body {
        let piece = bytes::Bytes::from(vec![b' '; size]);
        Body::from_stream(stream::iter(
            (0..number).map(move |_| Ok::<_, Infallible>(piece.clone())),
        ))
    }

    /// One that never ends after that many bytes.
    fn endless(size: usize) -> Body {
        let piece = bytes::Bytes::from(vec![b' '; size]);
        let start = stream::iter([Ok::<_, Infallible>(piece)]);
        Body::from_stream(start.chain(stream::pending()))
    }

    #[tokio::test]
    async fn a_body_is_read_whole_up_to_the_limit() {
        for (name, body, size) in [
            ("empty", Body::empty(), Some(0)),
            ("declared", Body::from(vec![b' '; LIMIT]), Some(LIMIT)),
            ("declared too large", Body::from(vec![b' '; LIMIT + 1]), None),
            ("in pieces", pieces(64, 1 << 10), Some(LIMIT)),
            ("in pieces of odd size", pieces(7, 999), Some(7 * 999)),
            ("in pieces, too large", pieces(65, 1 << 10), None),
        ] {
            let room = room(LIMIT, PATIENCE);
            match (whole(body, LIMIT, &room).await, size) {
                (Ok(read), Some(size)) => assert_eq!(read.bytes.len(), size, "{name}"),
                (Err(Fault::TooLarge { limit }), None) => assert_eq!(limit, LIMIT, "{name}"),
                (read, _) => panic!("{name}: {:?}", read.map(|read| read.bytes.len())),
            }
            let (mut next, _asked) = room.enter();
            next.take(LIMIT / UNIT).await.expect(name);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_gives_way_and_a_whole_one_does_not() {
        let room = room(LIMIT, PATIENCE);
        let kept = whole(pieces(32, 1 << 10), LIMIT, &room).await.unwrap();
        let slow = tokio::spawn({
            let room = Arc::clone(&room);
            async move { whole(endless(32 << 10), LIMIT, &room).await.map(|read| read.bytes.len()) }
        });
        // The clock goes on when all that can be done is done.
        tokio::time::sleep(PATIENCE).await;
        let read = whole(pieces(32, 1 << 10), LIMIT, &room).await.unwrap();
        let fault = slow.await.unwrap().unwrap_err();
        assert!(matches!(fault, Fault::Overload(_)), "{fault:?}");
        let fault = whole(pieces(1, 1), LIMIT, &room).await.map(|_| ()).unwrap_err();
        assert!(matches!(fault, Fault::Overload(_)), "{fault:?}");
        drop((kept, read));
        whole(pieces(64, 1 << 10), LIMIT, &room).await.unwrap();
    }
}
