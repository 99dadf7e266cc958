//! The figures of several rounds: their median and range.

pub struct Series(Vec<f64>);

impl Series {
    pub fn of<T>(rounds: &[T], figure: impl Fn(&T) -> f64) -> Self {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    /// Of two kinds of rounds that took turns.
    pub fn of_pairs<A, B>(some: &[A], others: &[B], figure: impl Fn(&A, &B) -> f64) -> Self {
        Self::of(&some.iter().zip(others).collect::<Vec<_>>(), |(a, b)| figure(a, b))
    }

    pub fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 { self.0[middle] } else { f64::midpoint(self.0[middle - 1], self.0[middle]) }
    }

    /// `median (least–most)`
    pub fn text(&self, decimals: usize) -> String {
        let (least, most) = (self.0[0], self.0[self.0.len() - 1]);
        match self.0.len() {
            1 => format!("{:.decimals$}", self.median()),
            _ => format!("{:.decimals$} ({least:.decimals$}–{most:.decimals$})", self.median()),
        }
    }
}
