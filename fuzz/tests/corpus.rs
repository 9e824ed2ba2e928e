//! Each target bears its corpus, and some inputs that are made of it: so that no target rots where
//! nobody runs the fuzzer.
#![cfg(fuzzing)]

use std::fs;
use std::path::Path;

use telemetry_rt_fuzz::TARGETS;

const MADE: usize = 300;

/// Numbers that look random, and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no seeds");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A seed in which some bytes are others, and which ends with a part of another seed.
fn made(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seeds[numbers.below(seeds.len())].clone();
    let other = &seeds[numbers.below(seeds.len())];
    if numbers.below(2) == 0 && !other.is_empty() {
        bytes.extend(&other[numbers.below(other.len())..]);
    }
    for _ in 0..numbers.below(8) {
        if !bytes.is_empty() {
            let at = numbers.below(bytes.len());
            bytes[at] = numbers.next() as u8;
        }
    }
    bytes
}

#[test]
fn each_target_bears_its_corpus_and_what_is_made_of_it() {
    for (name, target) in TARGETS {
        let seeds = corpus(name);
        seeds.iter().for_each(|seed| target(seed));
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for _ in 0..MADE {
            target(&made(&seeds, &mut numbers));
        }
    }
}
