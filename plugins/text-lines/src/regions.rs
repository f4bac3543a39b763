//! Where a map of probabilities is high: connected regions of it.

use crate::rectangle::Point;

/// A map of numbers, row by row.
#[derive(Clone, Copy)]
pub(crate) struct Map<'m> {
    pub(crate) values: &'m [f32],
    pub(crate) width: usize,
}

/// A connected part of the map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Region {
    /// Points, of which the smallest shape about them holds the region.
    pub(crate) outline: Vec<Point>,
    /// The mean of the probabilities in it.
    pub(crate) score: f32,
}

/// A piece of a row that is high.
struct Run {
    row: usize,
    begin: usize,
    end: usize,
    /// The run of the same region that stands for it, or one that leads there; never a later one.
    parent: usize,
}

impl Map<'_> {
    fn height(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    fn row(&self, row: usize) -> &[f32] {
        self.values.get(row * self.width..(row + 1) * self.width).unwrap_or_default()
    }

    /// The regions above a threshold, in the order in which they begin from above. What is high makes its neighbours to
    /// the right and below so, so that small gaps do not part a line.
    pub(crate) fn regions(&self, threshold: f32) -> Vec<Region> {
        let mut runs = self.runs(threshold);
        join(&mut runs);
        self.collect(&runs)
    }

    fn runs(&self, threshold: f32) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut above = vec![false; self.width];
        for row in 0..self.height() {
            let high: Vec<bool> = self.row(row).iter().map(|&probability| probability > threshold).collect();
            let wide = |places: &[bool], column: usize| places[column] || (column > 0 && places[column - 1]);
            let mut column = 0;
            while column < self.width {
                let begin = column;
                while column < self.width && (wide(&high, column) || wide(&above, column)) {
                    column += 1;
                }
                if begin < column {
                    runs.push(Run { row, begin, end: column, parent: runs.len() });
                }
                column += 1;
            }
            above = high;
        }
        runs
    }

    /// Puts together the runs of each region.
    fn collect(&self, runs: &[Run]) -> Vec<Region> {
        let mut regions: Vec<Region> = Vec::new();
        let mut sizes: Vec<f32> = Vec::new();
        // Of each run that stands for a region, which one; parents come before those that they stand for.
        let mut places = vec![0; runs.len()];
        for (index, run) in runs.iter().enumerate() {
            if run.parent == index {
                places[index] = regions.len();
                regions.push(Region { outline: Vec::new(), score: 0.0 });
                sizes.push(0.0);
            } else {
                places[index] = places[run.parent];
            }
            let place = places[index];
            let y = run.row as f32;
            let ends = [run.begin, run.end - 1].map(|column| Point { x: column as f32, y });
            regions[place].outline.extend(ends);
            let probabilities = self.row(run.row).get(run.begin..run.end).unwrap_or_default();
            regions[place].score += probabilities.iter().sum::<f32>();
            sizes[place] += probabilities.len() as f32;
        }
        for (region, size) in regions.iter_mut().zip(sizes) {
            region.score /= size;
        }
        regions
    }
}

/// Makes the runs of each region lead to its first one: of those in neighbouring rows, runs that overlap or touch at a
/// corner are of one region.
fn join(runs: &mut [Run]) {
    // The first run of the row before that may touch.
    let mut above = 0;
    for index in 0..runs.len() {
        let (row, begin, end) = (runs[index].row, runs[index].begin, runs[index].end);
        while runs[above].row + 1 < row || (runs[above].row + 1 == row && runs[above].end < begin) {
            above += 1;
        }
        let mut other = above;
        while other < index && runs[other].row + 1 == row && runs[other].begin <= end {
            let (one, two) = (first_of(runs, other), first_of(runs, index));
            runs[one.max(two)].parent = one.min(two);
            other += 1;
        }
    }
    for index in 0..runs.len() {
        runs[index].parent = first_of(runs, index);
    }
}

/// The run that stands for the region, with the way to it halved.
fn first_of(runs: &mut [Run], mut index: usize) -> usize {
    while runs[index].parent != index {
        runs[index].parent = runs[runs[index].parent].parent;
        index = runs[index].parent;
    }
    index
}

#[cfg(test)]
mod tests;
