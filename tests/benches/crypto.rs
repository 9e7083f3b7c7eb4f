//! What sealing and opening a box cost beside the sum of their parts: X-Wing's encapsulation or decapsulation, and
//! ChaCha20-Poly1305 over as many bytes, by the crates that HPKE itself uses, in turns, in the same run.
//!
//! `cargo bench -p tacit-tests --bench crypto [-- --json FILE]`

mod support;

use std::hint::black_box;
use std::time::Instant;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use support::device::rng;
use support::{Arguments, Figures, median};
use tacit_client_core::bench::Sealing;
use tacit_proto::SizeClass;
use x_wing::{Decapsulate, DecapsulationKey, Decapsulator, Encapsulate, Generate};

const ROUNDS: usize = 31;

/// Operations in a round: some 20 ms.
const TIMES: u32 = 100;

/// Microseconds that each takes, by the medians of rounds in turns, and the median of the rounds' ratios.
fn compare(figures: &mut Figures, name: &str, mut parts: impl FnMut(), mut ours: impl FnMut()) {
    let timed = |work: &mut dyn FnMut()| {
        let started = Instant::now();
        (0..TIMES).for_each(|_| work());
        started.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES)
    };
    let (mut of_parts, mut of_ours) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (part, our) = (timed(&mut parts), timed(&mut ours));
        // The first round warms up.
        if round > 0 {
            of_parts.push(part);
            of_ours.push(our);
        }
    }
    let mut ratios: Vec<f64> = of_ours.iter().zip(&of_parts).map(|(ours, parts)| ours / parts).collect();
    let reference = ("the_parts", median(&mut of_parts));
    figures.compare_rounds(name, median(&mut of_ours), "us", reference, median(&mut ratios));
}

fn main() {
    let arguments = Arguments::read();
    let mut figures = Figures::new(&arguments);
    let sealing = Sealing::default();
    let key = DecapsulationKey::generate_from_rng(&mut rng());
    let aead = ChaCha20Poly1305::new(&Key::from([7; 32]));
    let nonce = Nonce::from([7; 12]);
    for (class, size) in [(SizeClass::Small, "small"), (SizeClass::Large, "large")] {
        let text = vec![7; class.box_len()];
        let seal_parts = || {
            let (encapsulated, shared) = key.encapsulation_key().encapsulate_with_rng(&mut rng());
            let mut text = text.clone();
            let tag = aead.encrypt_inout_detached(&nonce, &[], text.as_mut_slice().into()).unwrap();
            black_box((encapsulated, shared, text, tag));
        };
        compare(&mut figures, &format!("seal_{size}"), seal_parts, || drop(black_box(sealing.seal(class))));

        let sealed = sealing.seal(class);
        let (encapsulated, _) = key.encapsulation_key().encapsulate_with_rng(&mut rng());
        let mut encrypted = text.clone();
        let tag = aead.encrypt_inout_detached(&nonce, &[], encrypted.as_mut_slice().into()).unwrap();
        let open_parts = || {
            let shared = key.decapsulate(&encapsulated);
            let mut text = encrypted.clone();
            aead.decrypt_inout_detached(&nonce, &[], text.as_mut_slice().into(), &tag).unwrap();
            black_box((shared, text));
        };
        compare(&mut figures, &format!("open_{size}"), open_parts, || {
            black_box(sealing.open(&sealed));
        });
    }
}
