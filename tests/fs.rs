//! Files, directories and the adapter beneath them, on a real file system.

#![cfg(feature = "tokio-io")]

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use telemetry_rt::fs::{self, DirBuilder, File, OpenOptions};
use telemetry_rt::io::{AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite, AsyncWriteExt};
use telemetry_rt::runtime::Builder;

/// A directory of the test's own, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("telemetry_rt-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// A file with that content.
    fn file(&self, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join("file");
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes that show where they come from.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index / 7 % 251) as u8).collect()
}

async fn open_both(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(path).await.unwrap()
}

/// Polls a future once and gives it up; `true` if it was pending.
async fn give_up<F: Future>(future: F) -> bool {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// Gives up a read of `length` bytes, and waits until the file has made it all the same.
async fn give_up_a_read(file: &mut File, length: usize) {
    let mut target = vec![0; length];
    // Should the hop be done before the task looks, the read is made undone and tried again.
    while !give_up(file.read(&mut target)).await {
        let back = -(length as i64);
        file.seek(SeekFrom::Current(back)).await.unwrap();
    }
    file.flush().await.unwrap();
}

/// A file whose reads wait until the test writes to the other end.
fn pipe() -> (File, io::PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    (File::from(OwnedFd::from(reader)), writer)
}

// Reading, writing, seeking

#[telemetry_rt::test]
async fn what_was_written_and_flushed_is_read_by_another() {
    let directory = Directory::new();
    let mut file = File::create(directory.join("new")).await.unwrap();
    file.write_all(b"hello, ").await.unwrap();
    file.write_all(b"world").await.unwrap();
    file.flush().await.unwrap();
    let content = fs::read_to_string(directory.join("new")).await.unwrap();
    assert_eq!(content, "hello, world");
}

#[telemetry_rt::test]
async fn a_dropped_file_is_written_in_the_background() {
    let directory = Directory::new();
    let path = directory.join("new");
    let mut file = File::create(&path).await.unwrap();
    file.write_all(b"hello").await.unwrap();
    drop(file);
    while fs::read(&path).await.unwrap() != b"hello" {
        telemetry_rt::task::yield_now().await;
    }
}

#[telemetry_rt::test]
async fn a_read_after_a_write_goes_on_where_the_write_ended() {
    let directory = Directory::new();
    let mut file = open_both(&directory.file("0123456789")).await;
    file.write_all(b"abc").await.unwrap();
    let mut rest = String::new();
    file.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "3456789");
}

#[telemetry_rt::test]
async fn reads_writes_and_seeks_agree_on_the_position() {
    let directory = Directory::new();
    let path = directory.file("0123456789");
    let mut file = open_both(&path).await;
    let mut two = [0; 2];
    file.read_exact(&mut two).await.unwrap();
    file.write_all(b"ab").await.unwrap();
    file.read_exact(&mut two).await.unwrap();
    assert_eq!(&two, b"45");
    assert_eq!(file.seek(SeekFrom::Current(-3)).await.unwrap(), 3);
    file.write_all(b"c").await.unwrap();
    assert_eq!(file.seek(SeekFrom::End(-1)).await.unwrap(), 9);
    file.read_exact(&mut two[..1]).await.unwrap();
    assert_eq!(two[0], b'9');
    assert_eq!(file.stream_position().await.unwrap(), 10);
    file.rewind().await.unwrap();
    file.write_all(b"X").await.unwrap();
    file.flush().await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"X1ac456789");
}

#[telemetry_rt::test]
async fn five_megabytes_pass_through_small_buffers() {
    let directory = Directory::new();
    let content = pattern(5 * 1024 * 1024 + 3);
    let mut file = File::create_new(directory.join("large")).await.unwrap();
    file.set_max_buf_size(64 * 1024 - 1);
    file.write_all(&content).await.unwrap();
    file.rewind().await.unwrap();
    let mut back = Vec::new();
    file.read_to_end(&mut back).await.unwrap();
    assert!(back == content);
}

#[telemetry_rt::test]
async fn one_hop_takes_two_megabytes_unless_told_otherwise() {
    let directory = Directory::new();
    let mut file = File::create(directory.join("new")).await.unwrap();
    let content = vec![7; 3 * 1024 * 1024];
    assert_eq!(file.max_buf_size(), 2 * 1024 * 1024);
    assert_eq!(file.write(&content).await.unwrap(), 2 * 1024 * 1024);
    file.set_max_buf_size(10);
    assert_eq!(file.write(&content).await.unwrap(), 10);
    file.set_max_buf_size(0);
    assert_eq!(file.write(&content).await.unwrap(), 1);
}

#[telemetry_rt::test]
async fn parts_are_written_in_one_hop() {
    let directory = Directory::new();
    let path = directory.join("new");
    let mut file = File::create(&path).await.unwrap();
    assert!(file.is_write_vectored());
    let parts = [b"one, ", b"two, ", b"three"].map(|part: &[u8; 5]| io::IoSlice::new(part));
    assert_eq!(file.write_vectored(&parts).await.unwrap(), 15);
    file.flush().await.unwrap();
    assert_eq!(fs::read(&path).await.unwrap(), b"one, two, three");
}

#[telemetry_rt::test]
async fn nothing_to_read_or_write_is_done_at_once() {
    let directory = Directory::new();
    let mut file = open_both(&directory.file("content")).await;
    assert_eq!(file.read(&mut []).await.unwrap(), 0);
    assert_eq!(file.write(&[]).await.unwrap(), 0);
    assert_eq!(file.stream_position().await.unwrap(), 0);
}

#[telemetry_rt::test]
async fn appending_ignores_the_position() {
    let directory = Directory::new();
    let path = directory.file("one ");
    let mut options = OpenOptions::new();
    let mut file = options.read(true).append(true).open(&path).await.unwrap();
    file.read_u8().await.unwrap();
    file.write_all(b"two ").await.unwrap();
    file.rewind().await.unwrap();
    file.write_all(b"three").await.unwrap();
    file.flush().await.unwrap();
    assert_eq!(fs::read(&path).await.unwrap(), b"one two three");
}

#[telemetry_rt::test]
async fn a_seek_while_an_operation_is_under_way_is_refused() {
    let (mut file, mut writer) = pipe();
    assert!(give_up(file.read(&mut [0; 8])).await);
    let refused = std::pin::Pin::new(&mut file).start_seek(SeekFrom::Start(0));
    assert!(refused.unwrap_err().to_string().contains("busy"));
    writer.write_all(b"x").unwrap();
}

// Giving up

#[telemetry_rt::test]
async fn bytes_of_a_read_that_was_given_up_are_those_of_the_next() {
    let (mut file, mut writer) = pipe();
    for _ in 0..3 {
        assert!(give_up(file.read(&mut [0; 100])).await);
    }
    writer.write_all(b"hello").unwrap();
    drop(writer);
    let mut all = Vec::new();
    file.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"hello");
}

#[telemetry_rt::test]
async fn nothing_is_lost_when_every_other_read_is_given_up() {
    let directory = Directory::new();
    let content = pattern(100_000);
    let mut file = open_both(&directory.file(&content)).await;
    let mut back = Vec::new();
    let mut target = [0; 1000];
    loop {
        give_up_unless_ready(&mut file, &mut back).await;
        let count = file.read(&mut target).await.unwrap();
        back.extend_from_slice(&target[..count]);
        if count == 0 {
            break;
        }
    }
    assert!(back == content);
}

/// Polls a read once; what it brings at once is kept.
async fn give_up_unless_ready(file: &mut File, back: &mut Vec<u8>) {
    let mut target = [0; 700];
    let mut read = Box::pin(file.read(&mut target));
    let polled = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
    drop(read);
    if let Poll::Ready(count) = polled {
        back.extend_from_slice(&target[..count.unwrap()]);
    }
}

#[telemetry_rt::test]
async fn a_write_after_a_read_that_was_given_up_goes_where_the_task_has_read_to() {
    let directory = Directory::new();
    let path = directory.file("0123456789");
    let mut file = open_both(&path).await;
    file.read_u8().await.unwrap();
    give_up_a_read(&mut file, 5).await;
    file.write_all(b"ab").await.unwrap();
    file.flush().await.unwrap();
    assert_eq!(fs::read(&path).await.unwrap(), b"0ab3456789");
}

#[telemetry_rt::test]
async fn a_seek_after_a_read_that_was_given_up_starts_where_the_task_has_read_to() {
    let directory = Directory::new();
    let mut file = open_both(&directory.file("0123456789")).await;
    give_up_a_read(&mut file, 5).await;
    assert_eq!(file.seek(SeekFrom::Current(2)).await.unwrap(), 2);
    give_up_a_read(&mut file, 5).await;
    file.seek(SeekFrom::Current(-3)).await.unwrap_err();
    assert_eq!(
        file.read_u8().await.unwrap(),
        b'2',
        "a seek that fails moves nothing"
    );
}

#[telemetry_rt::test]
async fn what_was_read_ahead_is_forgotten_by_those_who_share_the_position() {
    let directory = Directory::new();
    let mut file = open_both(&directory.file("0123456789")).await;
    give_up_a_read(&mut file, 5).await;
    let mut clone = file.try_clone().await.unwrap();
    assert_eq!(clone.read_u8().await.unwrap(), b'0');
    give_up_a_read(&mut file, 5).await;
    let mut std = file.into_std().await;
    assert_eq!(std.stream_position().unwrap(), 1);
}

#[telemetry_rt::test]
async fn bytes_that_were_cut_off_are_not_read() {
    let directory = Directory::new();
    let mut file = open_both(&directory.file("0123456789")).await;
    give_up_a_read(&mut file, 8).await;
    file.set_len(3).await.unwrap();
    let mut rest = String::new();
    file.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "012");
}

#[telemetry_rt::test]
async fn a_write_waits_for_the_one_before_and_keeps_its_bytes() {
    let (reader, writer) = io::pipe().unwrap();
    let mut file = File::from(OwnedFd::from(writer));
    // More than a pipe holds: the write is under way until somebody reads.
    let content = pattern(300_000);
    assert_eq!(file.write(&content).await.unwrap(), content.len());
    assert!(give_up(file.write(b"lost")).await);
    assert!(give_up(file.flush()).await);
    let reading = telemetry_rt::task::spawn_blocking(move || {
        let (mut reader, mut all) = (reader, Vec::new());
        reader.read_to_end(&mut all).map(|_| all)
    });
    file.write_all(b"end").await.unwrap();
    file.flush().await.unwrap();
    drop(file);
    let all = reading.await.unwrap().unwrap();
    assert!(all[..content.len()] == content && all.ends_with(b"end"));
    assert_eq!(all.len(), content.len() + 3);
}

// Errors

#[telemetry_rt::test]
async fn the_error_of_a_write_is_that_of_the_next_flush() {
    let directory = Directory::new();
    let mut file = File::open(directory.file("content")).await.unwrap();
    assert_eq!(file.write(b"x").await.unwrap(), 1);
    assert_eq!(file.flush().await.unwrap_err().raw_os_error(), Some(9));
    file.flush().await.unwrap();
}

#[telemetry_rt::test]
async fn the_error_of_a_write_is_that_of_the_next_write() {
    let mut full = OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .await
        .unwrap();
    full.write_all(b"x").await.unwrap();
    let error = full.write(b"y").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
}

#[telemetry_rt::test]
async fn reads_and_seeks_do_not_lose_the_error_of_a_write() {
    let directory = Directory::new();
    let mut file = File::open(directory.file("content")).await.unwrap();
    file.write_all(b"x").await.unwrap();
    assert_eq!(file.read_u8().await.unwrap(), b'c');
    assert_eq!(file.seek(SeekFrom::Start(3)).await.unwrap(), 3);
    file.sync_all().await.unwrap_err();
    assert_eq!(file.read_u8().await.unwrap(), b't');
}

#[telemetry_rt::test]
async fn bytes_whose_write_failed_are_not_read() {
    let directory = Directory::new();
    let mut file = File::open(directory.file("content")).await.unwrap();
    file.write_all(b"never").await.unwrap();
    file.flush().await.unwrap_err();
    let mut all = String::new();
    file.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "content");
}

#[telemetry_rt::test]
async fn a_read_that_fails_says_so() {
    let directory = Directory::new();
    let mut file = File::create(directory.join("write-only")).await.unwrap();
    file.read(&mut [0; 8]).await.unwrap_err();
    let mut open_directory = File::open(&directory.0).await.unwrap();
    let error = open_directory.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IsADirectory);
}

#[telemetry_rt::test]
async fn opening_says_what_std_says() {
    let directory = Directory::new();
    let path = directory.file("");
    let missing = File::open(directory.join("missing")).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let there = File::create_new(&path).await.unwrap_err();
    assert_eq!(there.kind(), ErrorKind::AlreadyExists);
    let contradiction = OpenOptions::new()
        .truncate(true)
        .open(&path)
        .await
        .unwrap_err();
    assert_eq!(contradiction.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_runtime_that_has_ended_fails_the_operation() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let _entered = handle.enter();
    let mut reading = pin!(fs::read("/dev/null"));
    let Poll::Ready(Err(error)) = reading
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("neither refused nor dropped");
    };
    assert_eq!(error.to_string(), "background task failed");
}

// Other methods of a file

#[telemetry_rt::test]
async fn a_file_knows_its_size_after_a_flush() {
    let directory = Directory::new();
    let mut file = File::create(directory.join("new")).await.unwrap();
    file.write_all(b"12345").await.unwrap();
    file.sync_data().await.unwrap();
    assert_eq!(file.metadata().await.unwrap().len(), 5);
    file.set_len(100).await.unwrap();
    assert_eq!(file.metadata().await.unwrap().len(), 100);
    assert_eq!(file.stream_position().await.unwrap(), 5);
}

#[telemetry_rt::test]
async fn permissions_are_changed_by_file_and_by_path() {
    let directory = Directory::new();
    let path = directory.file("");
    let file = File::open(&path).await.unwrap();
    let mut permissions = file.metadata().await.unwrap().permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions.clone()).await.unwrap();
    assert!(fs::metadata(&path).await.unwrap().permissions().readonly());
    #[expect(
        clippy::permissions_set_readonly_false,
        reason = "the file is in a directory of ours"
    )]
    permissions.set_readonly(false);
    fs::set_permissions(&path, permissions).await.unwrap();
    assert!(!fs::metadata(&path).await.unwrap().permissions().readonly());
}

#[telemetry_rt::test]
async fn a_file_at_work_does_not_become_one_of_std() {
    let (mut file, mut writer) = pipe();
    assert!(give_up(file.read(&mut [0; 8])).await);
    let mut file = file.try_into_std().unwrap_err();
    writer.write_all(b"xy").unwrap();
    assert_eq!(file.read_u8().await.unwrap(), b'x');
    let mut file = file.try_into_std().expect_err("it has read ahead");
    assert_eq!(file.read_u8().await.unwrap(), b'y');
    file.try_into_std().unwrap();
}

#[telemetry_rt::test]
async fn an_operation_that_was_given_up_does_not_keep_the_file_from_std() {
    let directory = Directory::new();
    for _ in 0..100 {
        let file = open_both(&directory.file("content")).await;
        give_up(file.metadata()).await;
        let mut content = String::new();
        file.into_std().await.read_to_string(&mut content).unwrap();
        assert_eq!(content, "content");
    }
}

#[test]
fn a_file_can_be_shared_and_sent() {
    fn check<T: Send + Sync + Unpin + std::fmt::Debug>() {}
    check::<File>();
    check::<fs::ReadDir>();
    check::<fs::DirEntry>();
    check::<OpenOptions>();
    check::<DirBuilder>();
    check::<telemetry_rt::io::Stdin>();
    check::<telemetry_rt::io::Stdout>();
    check::<telemetry_rt::io::Stderr>();
}

#[telemetry_rt::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_have_files_of_their_own() {
    let directory = Directory::new();
    let mut tasks = telemetry_rt::task::JoinSet::new();
    for number in 0..50 {
        tasks.spawn(write_and_read(
            directory.join(number.to_string()),
            pattern(1000 * number),
        ));
    }
    while let Some(joined) = tasks.join_next().await {
        joined.unwrap();
    }
}

async fn write_and_read(path: PathBuf, content: Vec<u8>) {
    let mut file = File::create_new(&path).await.unwrap();
    file.set_max_buf_size(512);
    file.write_all(&content).await.unwrap();
    file.rewind().await.unwrap();
    let mut back = Vec::new();
    file.read_to_end(&mut back).await.unwrap();
    assert!(back == content);
}

// Directories and paths

#[telemetry_rt::test]
async fn a_thousand_entries_are_read_each_once() {
    let directory = Directory::new();
    for number in 0..1000 {
        std::fs::write(directory.join(format!("{number:04}")), "").unwrap();
    }
    let mut entries = fs::read_dir(&directory.0).await.unwrap();
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await.unwrap() {
        assert!(entry.file_type().await.unwrap().is_file());
        names.push(entry.file_name().into_string().unwrap());
    }
    assert!(entries.next_entry().await.unwrap().is_none());
    names.sort();
    let expected: Vec<_> = (0..1000).map(|number| format!("{number:04}")).collect();
    assert_eq!(names, expected);
}

#[telemetry_rt::test]
async fn no_entry_is_lost_when_the_wait_for_it_is_given_up() {
    let directory = Directory::new();
    for number in 0..300 {
        std::fs::write(directory.join(number.to_string()), "").unwrap();
    }
    let mut entries = fs::read_dir(&directory.0).await.unwrap();
    let mut count = 0;
    loop {
        let polled = poll_fn(|cx| Poll::Ready(entries.poll_next_entry(cx))).await;
        match polled {
            Poll::Ready(entry) if entry.as_ref().unwrap().is_none() => break,
            Poll::Ready(_) => count += 1,
            Poll::Pending => telemetry_rt::task::yield_now().await,
        }
    }
    assert_eq!(count, 300);
}

#[telemetry_rt::test]
async fn an_entry_tells_of_itself() {
    let directory = Directory::new();
    let path = directory.file("12345");
    let mut entries = fs::read_dir(&directory.0).await.unwrap();
    let entry = entries.next_entry().await.unwrap().unwrap();
    assert_eq!(entry.path(), path);
    let metadata = entry.metadata().await.unwrap();
    assert_eq!(metadata.len(), 5);
    assert_eq!(entry.ino(), std::os::unix::fs::MetadataExt::ino(&metadata));
}

#[telemetry_rt::test]
async fn a_directory_that_is_not_there_has_no_entries_to_read() {
    let directory = Directory::new();
    let error = fs::read_dir(directory.join("missing")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[telemetry_rt::test]
async fn a_tree_is_made_moved_and_removed() {
    let directory = Directory::new();
    fs::create_dir(directory.join("a")).await.unwrap();
    fs::create_dir_all(directory.join("a/b/c")).await.unwrap();
    fs::write(directory.join("a/b/c/file"), "x").await.unwrap();
    fs::rename(directory.join("a/b"), directory.join("moved"))
        .await
        .unwrap();
    assert_eq!(
        fs::copy(directory.join("moved/c/file"), directory.join("copy"))
            .await
            .unwrap(),
        1
    );
    assert!(fs::try_exists(directory.join("copy")).await.unwrap());
    fs::remove_file(directory.join("copy")).await.unwrap();
    assert!(!fs::try_exists(directory.join("copy")).await.unwrap());
    fs::remove_dir(directory.join("a")).await.unwrap();
    let error = fs::remove_dir(directory.join("moved")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
    fs::remove_dir_all(directory.join("moved")).await.unwrap();
    assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0);
}

#[telemetry_rt::test]
async fn links_lead_to_what_they_were_made_for() {
    let directory = Directory::new();
    let original = directory.file("content");
    fs::symlink(&original, directory.join("soft"))
        .await
        .unwrap();
    fs::hard_link(&original, directory.join("hard"))
        .await
        .unwrap();
    assert_eq!(
        fs::read_link(directory.join("soft")).await.unwrap(),
        original
    );
    assert_eq!(fs::read(directory.join("hard")).await.unwrap(), b"content");
    assert!(
        fs::symlink_metadata(directory.join("soft"))
            .await
            .unwrap()
            .is_symlink()
    );
    let found = fs::canonicalize(directory.join("soft")).await.unwrap();
    assert_eq!(found, original.canonicalize().unwrap());
}

#[telemetry_rt::test]
async fn modes_are_those_that_were_asked_for() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    let (file, below) = (directory.join("file"), directory.join("below"));
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .mode(0o600)
        .open(&file)
        .await
        .unwrap();
    DirBuilder::new().mode(0o700).create(&below).await.unwrap();
    DirBuilder::new().create(&below).await.unwrap_err();
    DirBuilder::new()
        .recursive(true)
        .create(&below)
        .await
        .unwrap();
    for (path, mode) in [(file, 0o600), (below, 0o700)] {
        let permissions = fs::metadata(path).await.unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, mode);
    }
}

// What is recorded

#[cfg(feature = "telemetry")]
#[test]
fn each_hop_is_a_process_named_after_its_operation() {
    use telemetry_rt::otel::{InMemory, Otel};

    let memory = InMemory::new();
    let runtime = Builder::new_current_thread()
        .otel(Otel::builder().exporter(memory.clone()).build())
        .build()
        .unwrap();
    let directory = Directory::new();
    let path = directory.file("content");
    runtime.block_on(async {
        let mut file = open_both(&path).await;
        file.read_u8().await.unwrap();
        file.write_all(b"x").await.unwrap();
        file.seek(SeekFrom::Start(0)).await.unwrap();
        file.sync_all().await.unwrap();
        fs::remove_dir(&path).await.unwrap_err();
    });
    drop(runtime);
    let mut spans = memory.spans();
    spans.retain(|span| attribute(span, "task.type") == "blocking");
    spans.sort_by_key(|span| span.start_time);
    let told: Vec<_> = spans
        .iter()
        .map(|span| format!("{} {}", span.name, attribute(span, "task.state")))
        .collect();
    assert_eq!(
        told,
        [
            "open finished",
            "read finished",
            "write finished",
            "seek finished",
            "sync_all finished",
            "remove_dir exception",
        ]
    );
    assert_eq!(attribute(&spans[5], "error.type"), "std::io::error::Error");
}

#[cfg(feature = "telemetry")]
fn attribute(span: &opentelemetry_sdk::trace::SpanData, key: &str) -> String {
    let mut attributes = span.attributes.iter();
    let found = attributes.find(|attribute| attribute.key.as_str() == key);
    found.map_or_else(String::new, |attribute| attribute.value.to_string())
}

// Standard streams

#[telemetry_rt::test]
async fn standard_streams_take_what_they_are_given() {
    use telemetry_rt::io::{stderr, stdout};
    let (mut output, mut errors) = (stdout(), stderr());
    output.write_all(b"to the output\n").await.unwrap();
    output.flush().await.unwrap();
    errors.write_all(b"to the errors\n").await.unwrap();
    errors.shutdown().await.unwrap();
}

#[test]
fn a_process_copies_its_input_to_its_output() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "copy_the_input_to_the_output",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let content = "line\n".repeat(20_000);
    let mut input = child.stdin.take().unwrap();
    let sent = content.clone();
    let sending = std::thread::spawn(move || input.write_all(sent.as_bytes()));
    let output = child.wait_with_output().unwrap();
    sending.join().unwrap().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains(&content));
}

#[telemetry_rt::test]
#[ignore = "the child of `a_process_copies_its_input_to_its_output`"]
async fn copy_the_input_to_the_output() {
    let (mut input, mut output) = (telemetry_rt::io::stdin(), telemetry_rt::io::stdout());
    let copied = telemetry_rt::io::copy(&mut input, &mut output)
        .await
        .unwrap();
    assert_eq!(copied, 100_000);
    output.flush().await.unwrap();
}

#[test]
fn writes_that_wait_for_a_thread_are_made_though_the_runtime_ends() {
    use telemetry_rt::io::AsyncWriteExt;
    let folder = tempfile::tempdir().unwrap();
    let path = |number: usize| folder.path().join(format!("{number}"));
    let runtime = telemetry_rt::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        let mut files = Vec::new();
        for number in 0..5 {
            files.push(telemetry_rt::fs::File::create(path(number)).await.unwrap());
        }
        drop(telemetry_rt::task::spawn_blocking(move || {
            let _ = blocked.recv_timeout(std::time::Duration::from_millis(50));
        }));
        for file in &mut files {
            file.write_all(b"not flushed").await.unwrap();
        }
    });
    drop(runtime);
    drop(release);
    for number in 0..5 {
        assert_eq!(std::fs::read(path(number)).unwrap(), b"not flushed");
    }
}
