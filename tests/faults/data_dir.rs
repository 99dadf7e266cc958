//! Where the files of a test's own servers are.

use nix::sys::statvfs::statvfs;
use tempfile::TempDir;

use crate::database::public_dir_in;
use crate::figures::is_whole;

/// In memory where there is plenty, but in the whole form, whose figures are those of a real disk. A process that is killed
/// leaves the same behind in both.
pub fn data_dir() -> TempDir {
    const MEMORY: &str = "/dev/shm";
    const PLENTY: u64 = 4 << 30;
    let room = statvfs(MEMORY).map_or(0, |fs| fs.blocks_available() * fs.fragment_size());
    public_dir_in(if !is_whole() && room >= PLENTY { MEMORY } else { "/tmp" })
}
