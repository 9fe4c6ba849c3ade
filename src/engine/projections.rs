//! Read models: who feeds them, how they stand, building and proving them.

use super::Longhaul;
use crate::projector::{File, ProjectionStatus, Projector, Verdict, built_in, of_directory};
use crate::store::StoreError;
use std::path::Path;
use std::sync::Arc;

impl Longhaul {
    /// The feeder of the read models; `Projector::run` keeps them up to date until it is told to stop.
    pub fn projector(&self) -> Projector {
        Projector::new(self.store.clone(), Arc::clone(&self.clock))
    }

    /// How the read models stand, by name.
    pub async fn projections(&self) -> Result<Vec<ProjectionStatus>, StoreError> {
        self.projector().status().await
    }

    /// Folds the whole log anew into read models, beside the live ones, and switches. No name: all.
    /// Gives back how many events were folded, summed over the read models.
    pub async fn rebuild_projections(
        &self,
        names: &[String],
        jobs: usize,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<i64, StoreError> {
        let files = self.projection_files()?;
        let names = if names.is_empty() { self.projection_names().await? } else { names.to_vec() };
        self.projector().rebuild(&names, &files, jobs, progress).await
    }

    /// Proves that a read model is what the log says. No name: all of them.
    pub async fn verify_projections(
        &self,
        name: Option<&str>,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<Vec<Verdict>, StoreError> {
        let names = match name {
            Some(name) => vec![name.to_owned()],
            None => self.projection_names().await?,
        };
        let mut verdicts = Vec::new();
        for name in names {
            verdicts.push(self.projector().verify(&name, progress).await?);
        }
        Ok(verdicts)
    }

    /// In the order in which they are listed in the program, so that the long ones begin first.
    async fn projection_names(&self) -> Result<Vec<String>, StoreError> {
        let built_in: Vec<String> = built_in().into_iter().map(|f| f.name).collect();
        let known = self.projections().await?.into_iter().map(|p| p.name);
        let own = known.filter(|name| !built_in.contains(name)).collect::<Vec<_>>();
        Ok([built_in, own].concat())
    }

    fn projection_files(&self) -> Result<Vec<File>, StoreError> {
        let mut files = built_in();
        if let Some(directory) = self.settings.text("LONGHAUL_PROJECTIONS") {
            files.extend(of_directory(Path::new(directory)).map_err(StoreError::Refused)?);
        }
        Ok(files)
    }
}
