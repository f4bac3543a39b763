use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::directory::{Found, find, names};
use super::inbox::{Inbox, News, Touch};
use super::notification::{Notification, Unwatchable};
use super::root::{Fate, Root};
use super::settling::{Change, Settling, Sighting};

/// At most so often a model is looked at because of what notification tells.
const COALESCE: Duration = Duration::from_millis(100);

/// How often the watcher asks whether a repository is there, with one system call: nobody tells of what is mounted, or of
/// a directory above that is renamed.
const ROOT_CHECK: Duration = Duration::from_secs(5);

/// A look at everything because something was lost waits for so many times as long as the last one took, so that it does
/// not become the thread's only work.
const REST: u32 = 20;

/// What is watched, and how.
#[derive(Clone, Debug)]
pub struct WatcherOptions {
    /// The repositories.
    pub repositories: Vec<PathBuf>,
    /// For how long a model must not change before its change is over.
    pub settle: Duration,
    /// How often a repository is looked at where the system does not tell of changes; never, if that is not given.
    pub poll: Option<Duration>,
}

/// Watches repositories, on a thread of its own, for as long as it lives.
///
/// Where the system tells of changes nothing is looked at without a reason. Where it does not, which is on network file
/// systems and beyond the system's limit of watches, the repository is looked at from time to time. A repository that
/// cannot be read changes nothing: its models stay what they were until it is back.
///
/// A model's files may lie behind links, and links on the way may be made to lead elsewhere. Not told of: what is written
/// to a mapped file before it is closed or its times change, and what is changed through another mount of the directory
/// on another machine.
pub struct Watcher {
    inbox: Arc<Inbox>,
}

impl Watcher {
    /// Starts watching. Changes with respect to what is known, from before on, are told of on the watcher's thread: each
    /// when it is over, and several at once if they are over at the same time. While it is told, nothing is watched, but
    /// nothing is missed either.
    pub fn start(
        options: WatcherOptions,
        known: BTreeMap<String, Sighting>,
        on_changes: impl FnMut(Vec<Change>) + Send + 'static,
    ) -> Watcher {
        Watcher::start_with(options, known, true, on_changes)
    }

    fn start_with(
        options: WatcherOptions,
        known: BTreeMap<String, Sighting>,
        may_notify: bool,
        on_changes: impl FnMut(Vec<Change>) + Send + 'static,
    ) -> Watcher {
        let inbox = Arc::<Inbox>::default();
        let now = Instant::now();
        let worker = Worker {
            roots: options.repositories.into_iter().map(Root::new).collect(),
            present: Vec::new(),
            poll: options.poll,
            may_notify,
            settling: Settling::new(options.settle, known),
            notification: None,
            inbox: Arc::clone(&inbox),
            root_check: now,
            next_poll: None,
            full_look: None,
            full_look_not_before: now,
            quiet_until: now,
            on_changes,
        };
        let thread = thread::Builder::new().name("nerite-watch".into());
        if let Err(error) = thread.spawn(move || worker.run()) {
            tracing::error!("model repositories are not watched: no thread could be started: {error}");
        }
        Watcher { inbox }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

struct Worker<F> {
    roots: Vec<Root>,
    /// The repositories that are there.
    present: Vec<PathBuf>,
    poll: Option<Duration>,
    may_notify: bool,
    settling: Settling,
    notification: Option<Notification>,
    inbox: Arc<Inbox>,
    /// When to ask whether the repositories are there.
    root_check: Instant,
    /// When to look at the polled repositories.
    next_poll: Option<Instant>,
    /// When to look at everything because something was lost.
    full_look: Option<Instant>,
    full_look_not_before: Instant,
    /// Until when news are left to gather.
    quiet_until: Instant,
    on_changes: F,
}

impl<F: FnMut(Vec<Change>)> Worker<F> {
    fn run(mut self) {
        // The first check finds every repository new.
        let mut news = Some(News::default());
        while let Some(some) = news {
            self.wake(some);
            news = self.inbox.wait(self.deadline(), self.quiet_until);
        }
    }

    fn deadline(&self) -> Instant {
        let reasons = [self.settling.next(), self.next_poll, self.full_look];
        reasons.into_iter().flatten().fold(self.root_check, Instant::min)
    }

    fn wake(&mut self, news: News) {
        let now = Instant::now();
        if news != News::default() {
            self.quiet_until = now + COALESCE;
        }
        self.check_roots(now);
        let mut names = self.read(news, now);
        names.extend(self.settling.due(now));
        if self.next_poll.is_some_and(|at| at <= now) {
            names.extend(self.names_in(|root| root.is_polled));
            names.iter().for_each(|name| self.look(name));
            self.schedule_poll();
        } else {
            names.iter().for_each(|name| self.look(name));
        }
        if self.full_look.is_some_and(|at| at <= now) {
            self.look_at_everything();
        }
        let changes = self.settling.settled(Instant::now());
        if !changes.is_empty() {
            (self.on_changes)(changes);
        }
    }

    /// Sees to it that repositories which came are watched, and that nothing is said of those which went.
    fn check_roots(&mut self, now: Instant) {
        self.root_check = now + ROOT_CHECK;
        let mut is_any_new = false;
        for root in &mut self.roots {
            let fate = root.check();
            is_any_new |= fate == Fate::New;
            if fate == Fate::Lost {
                tracing::warn!(
                    "model repository '{}' cannot be read or is not mounted: its models stay as they are until it is back",
                    root.path.display()
                );
            }
        }
        self.present = self.roots.iter().filter(|root| root.is_there).map(|root| root.path.clone()).collect();
        if is_any_new {
            self.set_up();
            self.look_at_everything();
        }
    }

    /// Begins with notification anew, where there can be any.
    fn set_up(&mut self) {
        // The old watches first, for there is a limit.
        self.notification = None;
        self.roots.iter_mut().for_each(|root| root.is_polled = !self.may_notify);
        if self.may_notify {
            match Notification::new(Arc::clone(&self.inbox)) {
                Ok(notification) => self.notification = Some(notification),
                Err(error) => self.stop_notification(&error),
            }
        }
        for i in 0..self.roots.len() {
            let root = &self.roots[i];
            let Some(notification) = self.notification.as_mut().filter(|_| root.is_there) else { continue };
            if let Err(error) = notification.watch_root(&root.real) {
                self.mend(i, &error);
            }
        }
        self.schedule_poll();
    }

    /// Goes on where a repository, or anything, cannot be watched.
    fn mend(&mut self, root: usize, error: &Unwatchable) {
        let Unwatchable::ChangedElsewhere { .. } = error else { return self.stop_notification(error) };
        let (root, poll) = (&mut self.roots[root], Poll(self.poll));
        if !root.is_polled {
            root.is_polled = true;
            tracing::info!("model repository '{}' is {poll}: {error}", root.path.display());
            self.schedule_poll();
        }
    }

    fn stop_notification(&mut self, error: &Unwatchable) {
        tracing::warn!("the model repositories are {}: {error}", Poll(self.poll));
        self.notification = None;
        self.roots.iter_mut().for_each(|root| root.is_polled = true);
        self.schedule_poll();
    }

    fn schedule_poll(&mut self) {
        let is_any = self.roots.iter().any(|root| root.is_polled);
        self.next_poll = self.poll.filter(|_| is_any).map(|poll| Instant::now() + poll);
    }

    /// The models that news concern.
    fn read(&mut self, news: News, now: Instant) -> BTreeSet<String> {
        if news.limit_reached && self.notification.is_some() {
            self.stop_notification(&Unwatchable::LimitReached);
        }
        if news.lost {
            self.settling.forget_writing();
            self.full_look.get_or_insert(self.full_look_not_before.max(now));
        }
        let mut touched = BTreeSet::new();
        for (path, touch) in news.touched {
            let Some(notification) = &self.notification else { break };
            let names = notification.concerned(&path);
            for name in &names {
                match touch {
                    Touch::Changed => {}
                    Touch::Writing if was_written(&path) => self.settling.writing(name, &path, now),
                    Touch::Writing => {}
                    Touch::Closed => self.settling.written(name, &path),
                }
            }
            touched.extend(names);
        }
        touched
    }

    fn look_at_everything(&mut self) {
        let begun = Instant::now();
        self.names_in(|_| true).iter().for_each(|name| self.look(name));
        let ended = Instant::now();
        self.full_look = None;
        self.full_look_not_before = ended + REST * (ended - begun);
    }

    /// The models that are or were in some of the repositories.
    fn names_in(&self, is_meant: impl Fn(&Root) -> bool) -> BTreeSet<String> {
        let meant: Vec<PathBuf> = self
            .roots
            .iter()
            .filter(|root| root.is_there && is_meant(root))
            .map(|root| root.path.clone())
            .collect();
        let may_be_in_one = |name: &String| match self.settling.known(name) {
            Some(Sighting::Model(model)) => model.path.parent().is_some_and(|path| contains(&meant, path)),
            Some(Sighting::Refused(_)) | None => true,
        };
        names(&meant).into_iter().chain(self.settling.names().into_iter().filter(may_be_in_one)).collect()
    }

    /// Looks at one model; what is watched of it first, so that nothing that comes later is missed.
    fn look(&mut self, name: &str) {
        if self.is_out_of_reach(name) {
            return self.settling.dismiss(name);
        }
        self.watch(name);
        let now = Instant::now();
        let seen = match find(&self.present, name) {
            Found::Model(model) => Some(Sighting::Model(model)),
            Found::Refused(reason) => Some(Sighting::Refused(reason)),
            Found::Absent => None,
        };
        self.settling.observe(name, seen, now);
    }

    /// Whether what is known of a model comes from a repository that is not there, or may.
    fn is_out_of_reach(&self, name: &str) -> bool {
        let mut missing = self.roots.iter().filter(|root| !root.is_there);
        match self.settling.known(name) {
            None => false,
            Some(Sighting::Refused(_)) => missing.next().is_some(),
            Some(Sighting::Model(model)) => missing.any(|root| model.path.parent() == Some(&root.path)),
        }
    }

    fn watch(&mut self, name: &str) {
        for i in 0..self.roots.len() {
            let root = &self.roots[i];
            let Some(notification) = &mut self.notification else { return };
            if !root.is_there || root.is_polled || name.is_empty() || name.starts_with('.') {
                continue;
            }
            if let Err(error) = notification.watch_model(&root.real, name) {
                self.mend(i, &error);
            }
        }
    }
}

/// Whether the last thing that happened to a file is that it was written to: that sets both times. The system tells of a
/// time of writing that was set in the same words, and the file need not be open for that.
fn was_written(path: &Path) -> bool {
    let metadata = fs::metadata(path);
    metadata.is_ok_and(|file| (file.mtime(), file.mtime_nsec()) == (file.ctime(), file.ctime_nsec()))
}

fn contains(paths: &[PathBuf], path: &Path) -> bool {
    paths.iter().any(|other| other == path)
}

/// How often something is looked at, in words.
struct Poll(Option<Duration>);

impl std::fmt::Display for Poll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(every) => write!(f, "looked at every {} s for changes", every.as_secs_f64()),
            None => write!(f, "not looked at for changes"),
        }
    }
}

#[cfg(test)]
mod tests;
