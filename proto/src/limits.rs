//! Sizes and counts that both sides rely on. What a relay may choose for itself it states in its `Welcome`.

/// Longest frame in bytes, either way. A longer WebSocket message ends the connection with close code 1009.
///
/// It fits the largest frame there is, a large box with its fields, and bounds what one connection can pin in memory.
pub const MAX_FRAME: usize = 16_640;

/// Most ends in one `Attach`.
pub const MAX_ATTACH: usize = 64;

/// Most permit hashes in one `Enrol`, and so the most channels that one enrolment gives.
pub const MAX_PERMITS: usize = 256;

/// Longest operator's notice in bytes of UTF-8.
pub const MAX_NOTICE: usize = 1_000;

/// Longest relay address in a link, in bytes.
pub const MAX_ADDRESS: usize = 255;

/// Longest hold that a relay may promise, in seconds: 90 days.
pub const MAX_HOLD: u32 = 90 * 24 * 3600;
