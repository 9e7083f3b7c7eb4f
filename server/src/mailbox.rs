//! What other tasks leave for a connection: answers, events, and which of its ends have something to pull.
//!
//! Boxes never wait here. What does is bounded: one answer for each request in flight, which the connection bounds
//! itself, and a few events for each of its handles, none of which is told twice before the device acted on it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tacit_proto::EndOf;
use tacit_proto::frame::{Answer, FromRelay, Handle, RequestId};

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{AtomicWaker, Mutex, lock};

#[derive(Debug, Default)]
struct Post {
    frames: Vec<FromRelay>,
    ready: Vec<(EndOf, Handle)>,
    tried_noted: usize,
    closed: bool,
}

impl Post {
    const fn take_noted(&mut self, times: usize) -> bool {
        let all = self.tried_noted >= times;
        if all {
            self.tried_noted -= times;
        }
        all
    }
}

/// A leaf lock: whoever holds it takes no other.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    post: Mutex<Post>,
    bell: Bell,
}

/// Wakes the one task that a mailbox belongs to. It waits at each of its turns, which must cost nothing.
#[derive(Debug, Default)]
struct Bell {
    rang: AtomicBool,
    waker: AtomicWaker,
}

impl Bell {
    fn ring(&self) {
        self.rang.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Returns when it has rung since this last returned.
    async fn heard(&self) {
        poll_fn(|cx| {
            if !self.rang.swap(false, Ordering::Acquire) {
                self.waker.register(cx.waker());
                // It may have rung just before.
                if !self.rang.swap(false, Ordering::Acquire) {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl Mailbox {
    fn leave(&self, put: impl FnOnce(&mut Post)) {
        let mut post = lock(&self.post);
        if post.closed {
            return;
        }
        let was_empty = post.frames.is_empty() && post.ready.is_empty();
        put(&mut post);
        drop(post);
        if was_empty {
            self.bell.ring();
        }
    }

    pub(crate) fn frame(&self, frame: FromRelay) {
        self.leave(|post| post.frames.push(frame));
    }

    pub(crate) fn ready(&self, of: EndOf, handle: Handle) {
        self.leave(|post| post.ready.push((of, handle)));
    }

    pub(crate) fn tried_noted(&self) {
        lock(&self.post).tried_noted += 1;
        self.bell.ring();
    }

    /// Frames so far. Only the connection itself takes any out.
    pub(crate) fn len(&self) -> usize {
        lock(&self.post).frames.len()
    }

    /// Puts an answer where it belongs: before what came for its handles while it was made.
    pub(crate) fn answer_at(&self, at: usize, request: RequestId, answer: Answer) {
        self.leave(|post| post.frames.insert(at, FromRelay::Answer(request, answer)));
    }

    /// Takes everything. `frames` must be empty: its memory is swapped in.
    pub(crate) fn take(&self, frames: &mut Vec<FromRelay>, ready: &mut impl Extend<(EndOf, Handle)>) {
        let mut post = lock(&self.post);
        std::mem::swap(&mut post.frames, frames);
        ready.extend(post.ready.drain(..));
    }

    /// Lets go of memory that nothing is in.
    pub(crate) fn rest(&self) {
        let mut post = lock(&self.post);
        post.frames.shrink_to_fit();
        post.ready.shrink_to_fit();
    }

    /// Returns when something may have arrived since it was last called.
    pub(crate) async fn arrived(&self) {
        self.bell.heard().await;
    }

    /// Returns when the committer is done with noting that invites were tried, so many times.
    pub(crate) async fn until_tried_noted(&self, times: usize) {
        while !lock(&self.post).take_noted(times) {
            self.bell.heard().await;
        }
        // This wait may have used up the notice of something else.
        self.bell.ring();
    }

    /// The connection ended: what comes now is for nobody.
    pub(crate) fn close(&self) {
        *lock(&self.post) = Post { closed: true, ..Post::default() };
    }
}

/// Names a connection, and reaches it.
#[derive(Clone, Debug)]
pub(crate) struct Conn(pub(crate) Arc<Mailbox>);

impl PartialEq for Conn {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
