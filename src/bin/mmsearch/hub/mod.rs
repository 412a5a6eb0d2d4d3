//! The hub that models come from: its address, its token, what a repository holds, and the cache for its files.
//!
//! Names, addresses and the cache's layout are those of `hf-hub`, so that Python's `huggingface_hub` finds what was
//! downloaded here, and the other way round. The requests are made in [`fetch`] by `ureq`, the client inside hf-hub,
//! and not by hf-hub's own blocking interface, for four reasons (version 0.5.0, `api/sync.rs`): it hands the token on
//! to whatever host a file is redirected to, it compares neither size nor hash, it appends to a half file even when
//! the server sends the whole one, and it waits for ever.

mod checksum;
mod download;
mod fetch;
mod layout;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hf_hub::api::RepoInfo;
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use mmsearch::{Error, Result};

use self::download::{Download, Watch, at};
use self::fetch::Client;
use self::layout::{Wanted, Weights, choose, is_plain, shards};

/// Where the hub is and who we are to it; read from the environment by the caller.
pub(crate) struct Access {
    /// `HF_ENDPOINT`.
    pub(crate) endpoint: Option<String>,
    /// `HF_HOME`.
    pub(crate) home: PathBuf,
    /// `HF_TOKEN`; without it the token of the file `token` in `HF_HOME`, which `hf auth login` writes.
    pub(crate) token: Option<String>,
}

/// A repository's name and a branch, tag, commit or pull request of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RepoName {
    id: String,
    revision: String,
}

/// A hub and the cache for its files.
pub(crate) struct Hub {
    endpoint: String,
    client: Client,
    cache: Cache,
}

impl FromStr for RepoName {
    type Err = Error;

    /// `OWNER/NAME`, `NAME`, or either with `@REVISION`.
    fn from_str(text: &str) -> Result<Self> {
        let (id, revision) = text.split_once('@').unwrap_or((text, "main"));
        let parts: Vec<&str> = id.split('/').collect();
        let is_id = parts.len() <= 2 && parts.iter().all(|part| is_plain(part));
        if !is_id || !revision.split('/').all(is_plain) {
            let reason = format!(
                "{text:?} is not the name of a repository; say OWNER/NAME or OWNER/NAME@REVISION, \
                 as `mmsearch model list --available` does"
            );
            return Err(Error::BadOption { reason });
        }
        Ok(Self { id: id.into(), revision: revision.into() })
    }
}

impl RepoName {
    /// The name without its owner.
    pub(crate) fn short(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or(&self.id)
    }

    fn at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.id.clone(), RepoType::Model, revision.into())
    }
}

impl Hub {
    pub(crate) fn new(access: Access) -> Result<Self> {
        let endpoint = access.endpoint.unwrap_or_else(|| "https://huggingface.co".into());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let cache = Cache::new(access.home.join("hub"));
        let token = access.token.or_else(|| cache.token());
        let client = Client::new(&endpoint, token.as_deref().map(str::trim))?;
        Ok(Self { endpoint, client, cache })
    }

    /// Downloads what makes a model and returns the directory with it; `watch` hears the name of each file, and how
    /// far it is.
    ///
    /// # Errors
    /// [`Error::BadModel`] if the repository has no model that can be imported, or other bytes than it says;
    /// [`Error::Io`] if the hub could not be reached or refused; [`Error::BadOption`] if there is no such repository.
    pub(crate) fn download(
        &self,
        name: &RepoName,
        watch: &mut dyn FnMut(&str, u64, u64) -> ControlFlow<()>,
    ) -> Result<PathBuf> {
        let info = self.list(name)?;
        // Everything after the list is asked for by its commit, so that a push in between mixes nothing.
        let repo = name.at(&info.sha);
        let files: Vec<String> = info.siblings.into_iter().map(|file| file.rfilename).collect();
        let bad = |reason| Error::BadModel { path: name.id.clone().into(), reason };
        let Wanted { small, weights } = choose(&files).map_err(bad)?;

        let cached = self.cache.repo(name.at(&name.revision));
        // The snapshot is for Python and may have more of the repository; the import is given what was chosen alone.
        let snapshot = cached.pointer_path(&info.sha);
        let source = self.cache.path().join(repo.folder_name()).join("mmsearch").join(&info.sha);
        empty(&source)?;
        let mut bring = |file: &str| {
            let mut watch = |done, total| watch(file, done, total);
            let blob = self.bring(&repo, &cached, file, &mut watch)?;
            link(&blob, &snapshot.join(file))?;
            link(&blob, &source.join(file))
        };
        for file in &small {
            bring(file)?;
        }
        match weights {
            Weights::Whole(file) => bring(&file)?,
            Weights::Shards(index) => {
                bring(&index)?;
                let path = source.join(&index);
                let shards = shards(&read(&path)?, &files)
                    .map_err(|reason| Error::BadModel { path, reason })?;
                for shard in &shards {
                    bring(shard)?;
                }
            }
        }
        cached.create_ref(&info.sha).map_err(at("write below", self.cache.path()))?;
        Ok(source)
    }

    fn list(&self, name: &RepoName) -> Result<RepoInfo> {
        let url = format!("{}/api/{}", self.endpoint, name.at(&name.revision).api_url());
        let bad = |reason: String| Error::BadModel { path: url.clone().into(), reason };
        let info: RepoInfo = serde_json::from_slice(&self.client.text(&url)?)
            .map_err(|error| bad(format!("not a list of files ({error}); look at HF_ENDPOINT")))?;
        // It becomes the name of a directory.
        if info.sha.len() != 40 || !info.sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad("its commit has no name; look at HF_ENDPOINT".into()));
        }
        Ok(info)
    }

    /// A file into its blob; returns the blob's name.
    fn bring(&self, repo: &Repo, cached: &CacheRepo, file: &str, watch: Watch) -> Result<String> {
        let (id, revision) = (repo.url(), repo.url_revision());
        let url = format!("{}/{id}/resolve/{revision}/{file}", self.endpoint);
        let remote = self.client.describe(&url)?;
        let blob = cached.blob_path(remote.checksum.name());
        create_parent(&blob)?;
        Download { client: &self.client, url: &url, remote: &remote, blob: &blob }.run(watch)?;
        Ok(remote.checksum.name().into())
    }
}

/// Makes or replaces a link to a blob; `path` is two directories below the repository's.
fn link(blob: &str, path: &Path) -> Result<()> {
    let target = Path::new("../../blobs").join(blob);
    if fs::read_link(path).is_ok_and(|found| found == target) {
        return Ok(());
    }
    create_parent(path)?;
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path).map_err(at("replace", path))?;
    }
    std::os::unix::fs::symlink(target, path).map_err(at("create", path))
}

fn create_parent(path: &Path) -> Result<()> {
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir).map_err(at("create", dir))
}

/// Removes a directory of links.
fn empty(dir: &Path) -> Result<()> {
    if dir.exists() { fs::remove_dir_all(dir).map_err(at("empty", dir)) } else { Ok(()) }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "the error names the file")]
    fs::read(path).map_err(at("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_with_its_revision() {
        let named = |text: &str| text.parse::<RepoName>().map(|name| (name.id, name.revision)).ok();
        let is = |id: &str, revision: &str| Some((id.to_owned(), revision.to_owned()));
        assert_eq!(
            named("openai/clip-vit-base-patch32"),
            is("openai/clip-vit-base-patch32", "main")
        );
        assert_eq!(named("gpt2@v1.0"), is("gpt2", "v1.0"));
        assert_eq!(named("a/b@refs/pr/4"), is("a/b", "refs/pr/4"));
        for text in [
            "",
            "/",
            "a/",
            "a/b/c",
            "../b",
            "a/..",
            "a/b@",
            "a/b@../../x",
            "a/b@/x",
            "a b",
            "a/b?c",
        ] {
            assert_eq!(named(text), None, "{text}");
        }
        assert_eq!("a/b@c".parse::<RepoName>().unwrap().short(), "b");
    }
}
