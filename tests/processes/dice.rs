//! Random choices from a seed that a failing test can name. It needs nothing of the test binary it is included in.

/// A generator (SplitMix64) that gives the same choices for the same seed.
pub struct Dice(u64);

impl Dice {
    /// The generator of this seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }

    /// Between `least` and `most` of these, none twice, in any order.
    pub fn some<T: Clone>(&mut self, among: &[T], least: usize, most: usize) -> Vec<T> {
        let mut left = among.to_vec();
        let count = least + self.below(most - least + 1);
        (0..count).map(|_| left.swap_remove(self.below(left.len()))).collect()
    }
}

/// A seed that no run has had.
pub fn new_seed() -> u64 {
    u64::from_be_bytes(symbolon::ids::random().unwrap())
}
