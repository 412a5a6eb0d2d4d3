//! `mmsearch model list --available`: published models to choose from.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::output::Output;

/// The figures and where they come from.
const TABLE: &str = include_str!("available.csv");
/// GFLOP a picture of OpenAI's ViT-B/32, which the speeds are relative to.
const USUAL_GFLOPS: f64 = 8.82;

/// A row of the table; what nobody published is empty.
#[derive(Deserialize, Serialize)]
struct Published {
    repository: String,
    model: String,
    /// What is downloaded.
    megabytes: u32,
    /// Of an embedding.
    dim: u32,
    /// To encode one picture.
    image_gflops: Option<f64>,
    /// R@1 in percent, text to image, zero-shot, on Flickr30k's 1,000 test images.
    flickr30k: Option<f64>,
    /// The same on COCO's 5,000.
    coco: Option<f64>,
    licence: String,
}

/// A model in JSON.
#[derive(Serialize)]
struct AvailableLine<'a> {
    #[serde(flatten)]
    published: &'a Published,
    /// Pictures in the time in which ViT-B/32 encodes one, by arithmetic operations.
    relative_speed: Option<f64>,
}

pub(crate) fn run(json: bool) -> Result<Exit> {
    let mut output = Output::new();
    if !json {
        output.line(&format!(
            "{:<46}  {:<19}  {:>6}  {:>4}  {:>5}  {:>9}  {:>5}  licence",
            "repository", "model", "MB", "dim", "speed", "Flickr30k", "COCO"
        ))?;
    }
    for published in table()? {
        if json {
            let relative_speed = published.relative_speed();
            output.json(&AvailableLine { published: &published, relative_speed })?;
        } else {
            output.line(&published.row())?;
        }
    }
    if !json {
        output.line(
            "\nspeed: pictures a second beside ViT-B/32, by arithmetic operations; Flickr30k, COCO: published R@1 in\n\
             percent, text to image, zero-shot. Get one by: mmsearch model pull REPOSITORY",
        )?;
    }
    output.flush()?;
    Ok(Exit::Done)
}

fn table() -> Result<Vec<Published>> {
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(TABLE.as_bytes());
    reader.deserialize().collect::<Result<_, _>>().context("available.csv")
}

impl Published {
    fn relative_speed(&self) -> Option<f64> {
        // Three digits are more than such an estimate is worth.
        self.image_gflops.map(|gflops| (USUAL_GFLOPS / gflops * 1000.0).round() / 1000.0)
    }

    fn row(&self) -> String {
        let figure = |value: Option<f64>, places: usize| match value {
            Some(value) => format!("{value:.places$}"),
            None => "-".into(),
        };
        format!(
            "{:<46}  {:<19}  {:>6}  {:>4}  {:>5}  {:>9}  {:>5}  {}",
            self.repository,
            self.model,
            self.megabytes,
            self.dim,
            figure(self.relative_speed(), 2),
            figure(self.flickr30k, 1),
            figure(self.coco, 1),
            self.licence
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::RepoName;

    #[test]
    fn every_row_can_be_pulled_and_its_figures_are_of_the_kind_that_they_say() {
        let table = table().unwrap();
        assert!(table.len() >= 10);
        for row in &table {
            assert!(row.repository.parse::<RepoName>().is_ok(), "{}", row.repository);
            assert!(row.repository.len() <= 46 && row.model.len() <= 19, "{}", row.repository);
            for recall in [row.flickr30k, row.coco].into_iter().flatten() {
                assert!((20.0..100.0).contains(&recall), "{}: a percentage", row.repository);
            }
            assert!((40..10_000).contains(&row.megabytes) && row.dim >= 256, "{}", row.repository);
            assert!(!row.licence.is_empty());
        }
        let usual = table.iter().find(|row| row.model == "OpenAI ViT-B/32").unwrap();
        assert_eq!(usual.relative_speed(), Some(1.0));
    }
}
