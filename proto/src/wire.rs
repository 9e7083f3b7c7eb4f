//! Frames as protobuf bytes. The generated types live here and nowhere else.

use std::num::NonZeroU32;

use bytes::Bytes;
use prost::Message;

use crate::frame::{
    Answer, AttachItem, Attached, ClosedWhy, Event, FrameError, FromRelay, Handle, Limits, Open, Refusal, Request,
    ToRelay, Welcome, Window,
};
use crate::limits::{MAX_ATTACH, MAX_FRAME, MAX_HOLD, MAX_NOTICE, MAX_PERMITS};
use crate::{
    Challenge, ChannelId, End, EndOf, EndPublic, EnrolCode, Incarnation, Nonce, Permit, PermitHash, Proof,
    RelaySessionPublic,
};

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod pb {
    include!(concat!(env!("OUT_DIR"), "/tacit.v1.rs"));
}
use pb::attach_result::Result as PbResult;
use pb::from_relay::Body as FromBody;
use pb::to_relay::Body as ToBody;

impl ToRelay {
    /// The frame as bytes of one WebSocket binary message.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let (request, body) = match self {
            Self::Request(id, request) => (id.get(), request_to_pb(request)),
            Self::Ack { handle, up_to } => (0, Some(ToBody::Ack(pb::Ack { handle: handle.0, up_to }))),
        };
        pb::ToRelay { request, body }.encode_to_vec().into()
    }

    /// Reads a frame. A box in it stays a view into `bytes`.
    ///
    /// # Errors
    /// [`FrameError`] for anything that is not one whole well-formed frame: end the connection.
    pub fn decode(bytes: Bytes) -> Result<Self, FrameError> {
        let pb::ToRelay { request, body } = decode(bytes)?;
        match (NonZeroU32::new(request), body) {
            (None, Some(ToBody::Ack(ack))) => Ok(Self::Ack { handle: Handle(ack.handle), up_to: ack.up_to }),
            (Some(id), body) => Ok(Self::Request(id, request_from_pb(body)?)),
            (None, _) => Err(FrameError::WrongValue),
        }
    }
}

impl FromRelay {
    /// The frame as bytes of one WebSocket binary message.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let (request, body) = match self {
            Self::Answer(id, answer) => (id.get(), answer_to_pb(answer)),
            Self::Event(event) => (0, event_to_pb(event)),
        };
        pb::FromRelay { request, body: Some(body) }.encode_to_vec().into()
    }

    /// Reads a frame. A box in it stays a view into `bytes`.
    ///
    /// # Errors
    /// [`FrameError`] for anything that is not one whole well-formed frame: end the connection.
    pub fn decode(bytes: Bytes) -> Result<Self, FrameError> {
        let pb::FromRelay { request, body } = decode(bytes)?;
        let body = body.ok_or(FrameError::WrongValue)?;
        match NonZeroU32::new(request) {
            Some(id) => Ok(Self::Answer(id, answer_from_pb(body)?)),
            None => Ok(Self::Event(event_from_pb(body)?)),
        }
    }
}

fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, FrameError> {
    if bytes.len() > MAX_FRAME {
        return Err(FrameError::TooLong);
    }
    M::decode(bytes).map_err(|_| FrameError::Malformed)
}

fn array<const N: usize>(bytes: &Bytes) -> Result<[u8; N], FrameError> {
    <[u8; N]>::try_from(&bytes[..]).map_err(|_| FrameError::WrongLength)
}

fn view(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn nonzero(number: u32) -> Result<NonZeroU32, FrameError> {
    NonZeroU32::new(number).ok_or(FrameError::WrongValue)
}

fn within<T>(list: Vec<T>, most: usize) -> Result<Vec<T>, FrameError> {
    if list.is_empty() || list.len() > most { Err(FrameError::WrongLength) } else { Ok(list) }
}

fn request_to_pb(request: Request) -> Option<ToBody> {
    Some(match request {
        Request::Enrol { code, permit_hashes } => ToBody::Enrol(pb::Enrol {
            code: view(code.secret_bytes()),
            permit_hashes: permit_hashes.iter().map(|hash| view(hash.as_bytes())).collect(),
        }),
        Request::Open(open) => ToBody::Open(pb::Open {
            channel: view(open.channel.as_bytes()),
            permit: view(open.permit.secret_bytes()),
            key_a: view(open.key_a.as_bytes()),
            key_b: view(open.key_b.as_bytes()),
            join_by: open.join_by.get(),
        }),
        Request::Attach { items, window } => ToBody::Attach(pb::Attach {
            items: items
                .iter()
                .map(|item| pb::AttachItem {
                    channel: view(item.of.channel.as_bytes()),
                    end: item.of.end.number().into(),
                    proof: view(item.proof.as_bytes()),
                })
                .collect(),
            window_boxes: window.boxes.get(),
            window_bytes: window.bytes,
        }),
        Request::Rekey { handle, new_key, proof } => ToBody::Rekey(pb::Rekey {
            handle: handle.0,
            new_key: view(new_key.as_bytes()),
            proof: view(proof.as_bytes()),
        }),
        Request::Send { handle, n, payload } => ToBody::Send(pb::Send { handle: handle.0, n, r#box: payload }),
        Request::Close { handle } => ToBody::Close(pb::Close { handle: handle.0 }),
        Request::Ping => ToBody::Ping(pb::Ping {}),
        Request::Unknown => return None,
    })
}

fn request_from_pb(body: Option<ToBody>) -> Result<Request, FrameError> {
    Ok(match body {
        Some(ToBody::Enrol(enrol)) => Request::Enrol {
            code: EnrolCode::from_bytes(array(&enrol.code)?),
            permit_hashes: within(enrol.permit_hashes, MAX_PERMITS)?
                .iter()
                .map(|hash| Ok(PermitHash::from_bytes(array(hash)?)))
                .collect::<Result<_, FrameError>>()?,
        },
        Some(ToBody::Open(open)) => Request::Open(Box::new(Open {
            channel: ChannelId::from_bytes(array(&open.channel)?),
            permit: Permit::from_bytes(array(&open.permit)?),
            key_a: EndPublic::from_bytes(array(&open.key_a)?),
            key_b: EndPublic::from_bytes(array(&open.key_b)?),
            join_by: nonzero(open.join_by)?,
        })),
        Some(ToBody::Attach(attach)) => Request::Attach {
            items: within(attach.items, MAX_ATTACH)?.iter().map(attach_item_from_pb).collect::<Result<_, _>>()?,
            window: Window { boxes: nonzero(attach.window_boxes)?, bytes: attach.window_bytes },
        },
        Some(ToBody::Rekey(rekey)) => Request::Rekey {
            handle: Handle(rekey.handle),
            new_key: EndPublic::from_bytes(array(&rekey.new_key)?),
            proof: Proof::from_bytes(array(&rekey.proof)?),
        },
        Some(ToBody::Send(send)) => Request::Send { handle: Handle(send.handle), n: send.n, payload: send.r#box },
        Some(ToBody::Close(close)) => Request::Close { handle: Handle(close.handle) },
        Some(ToBody::Ping(pb::Ping {})) => Request::Ping,
        // An ack is not answered: with a request id it is not one of this version's requests.
        Some(ToBody::Ack(_)) | None => Request::Unknown,
    })
}

fn attach_item_from_pb(item: &pb::AttachItem) -> Result<AttachItem, FrameError> {
    let end = End::try_from(item.end).map_err(|_| FrameError::WrongValue)?;
    let channel = ChannelId::from_bytes(array(&item.channel)?);
    Ok(AttachItem { of: EndOf { channel, end }, proof: Proof::from_bytes(array(&item.proof)?) })
}

const fn refused(why: Refusal) -> pb::Refused {
    pb::Refused { why: why as i32 }
}

fn refusal(refused: pb::Refused) -> Result<Refusal, FrameError> {
    Refusal::ALL.into_iter().find(|why| *why as i32 == refused.why).ok_or(FrameError::WrongValue)
}

fn answer_to_pb(answer: Answer) -> FromBody {
    match answer {
        Answer::Done => FromBody::Done(pb::Done {}),
        Answer::Refused(why) => FromBody::Refused(refused(why)),
        Answer::Attach(results) => FromBody::AttachResults(pb::AttachResults {
            results: results
                .into_iter()
                .map(|result| pb::AttachResult {
                    result: Some(match result {
                        Ok(Attached { handle, waiting, must_rekey }) => {
                            PbResult::Attached(pb::Attached { handle: handle.0, waiting, must_rekey })
                        }
                        Err(why) => PbResult::Refused(refused(why)),
                    }),
                })
                .collect(),
        }),
        Answer::Accepted { handle, n, hold } => FromBody::Accepted(pb::Accepted { handle: handle.0, n, hold }),
        Answer::Pong(handles) => {
            FromBody::Pong(pb::Pong { handles: handles.into_iter().map(|handle| handle.0).collect() })
        }
    }
}

fn answer_from_pb(body: FromBody) -> Result<Answer, FrameError> {
    Ok(match body {
        FromBody::Done(pb::Done {}) => Answer::Done,
        FromBody::Refused(why) => Answer::Refused(refusal(why)?),
        FromBody::AttachResults(results) => Answer::Attach(
            within(results.results, MAX_ATTACH)?
                .into_iter()
                .map(|result| match result.result {
                    Some(PbResult::Attached(pb::Attached { handle, waiting, must_rekey })) => {
                        Ok(Ok(Attached { handle: Handle(handle), waiting, must_rekey }))
                    }
                    Some(PbResult::Refused(why)) => refusal(why).map(Err),
                    None => Err(FrameError::WrongValue),
                })
                .collect::<Result<_, _>>()?,
        ),
        FromBody::Accepted(pb::Accepted { handle, n, hold }) => Answer::Accepted { handle: Handle(handle), n, hold },
        FromBody::Pong(pong) => Answer::Pong(pong.handles.into_iter().map(Handle).collect()),
        _ => return Err(FrameError::WrongValue),
    })
}

fn event_to_pb(event: Event) -> FromBody {
    match event {
        Event::Welcome(welcome) => FromBody::Welcome(welcome_to_pb(*welcome)),
        Event::Deliver { handle, seq, payload, last } => {
            FromBody::Deliver(pb::Deliver { handle: handle.0, seq, r#box: payload, last })
        }
        Event::Drained(handle) => FromBody::Drained(pb::Drained { handle: handle.0 }),
        Event::Room(handle) => FromBody::Room(pb::Room { handle: handle.0 }),
        Event::Superseded(handle) => FromBody::Superseded(pb::Superseded { handle: handle.0 }),
        Event::Closed(handle, why) => FromBody::Closed(pb::Closed { handle: handle.0, why: why as i32 }),
        Event::InviteTried(handle) => FromBody::InviteTried(pb::InviteTried { handle: handle.0 }),
        Event::Restarting { reconnect_in } => FromBody::Restarting(pb::Restarting { reconnect_in }),
    }
}

fn event_from_pb(body: FromBody) -> Result<Event, FrameError> {
    Ok(match body {
        FromBody::Welcome(welcome) => Event::Welcome(Box::new(welcome_from_pb(welcome)?)),
        FromBody::Deliver(deliver) => {
            let pb::Deliver { handle, seq, r#box: payload, last } = deliver;
            Event::Deliver { handle: Handle(handle), seq, payload, last }
        }
        FromBody::Drained(drained) => Event::Drained(Handle(drained.handle)),
        FromBody::Room(room) => Event::Room(Handle(room.handle)),
        FromBody::Superseded(superseded) => Event::Superseded(Handle(superseded.handle)),
        FromBody::Closed(closed) => {
            let why = [ClosedWhy::ByPeer, ClosedWhy::Unclaimed].into_iter().find(|why| *why as i32 == closed.why);
            Event::Closed(Handle(closed.handle), why.ok_or(FrameError::WrongValue)?)
        }
        FromBody::InviteTried(tried) => Event::InviteTried(Handle(tried.handle)),
        FromBody::Restarting(pb::Restarting { reconnect_in }) => Event::Restarting { reconnect_in },
        _ => return Err(FrameError::WrongValue),
    })
}

fn welcome_to_pb(welcome: Welcome) -> pb::Welcome {
    let Limits { hold, in_flight, window_boxes, window_bytes, backlog_boxes, backlog_bytes } = welcome.limits;
    pb::Welcome {
        nonce: view(welcome.challenge.nonce.as_bytes()),
        session_public: view(welcome.challenge.session_public.as_bytes()),
        relay_incarnation: view(welcome.incarnation.as_bytes()),
        limits: Some(pb::Limits { hold, in_flight, window_boxes, window_bytes, backlog_boxes, backlog_bytes }),
        notice: welcome.notice,
    }
}

fn welcome_from_pb(welcome: pb::Welcome) -> Result<Welcome, FrameError> {
    let pb::Limits { hold, in_flight, window_boxes, window_bytes, backlog_boxes, backlog_bytes } =
        welcome.limits.ok_or(FrameError::WrongValue)?;
    if hold == 0 || hold > MAX_HOLD || in_flight == 0 {
        return Err(FrameError::WrongValue);
    }
    if welcome.notice.len() > MAX_NOTICE {
        return Err(FrameError::WrongLength);
    }
    Ok(Welcome {
        challenge: Challenge {
            nonce: Nonce::from_bytes(array(&welcome.nonce)?),
            session_public: RelaySessionPublic::from_bytes(array(&welcome.session_public)?),
        },
        incarnation: Incarnation::from_bytes(array(&welcome.relay_incarnation)?),
        limits: Limits { hold, in_flight, window_boxes, window_bytes, backlog_boxes, backlog_bytes },
        notice: welcome.notice,
    })
}

#[cfg(test)]
mod tests;
