//! Files: written, read back and removed, by hops to the blocking pool that the runtime makes by
//! itself.

use std::io;
use std::path::Path;
use std::sync::Arc;

use telemetry_rt::fs::{self, File};
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};

use crate::dice::Dice;
use crate::world::World;

pub async fn copy(world: Arc<World>, dice: Dice) {
    let Ok(folder) = tempfile::tempdir() else {
        world.refused.count("file");
        return;
    };
    if copy_some(&world, dice, folder.path()).await.is_err() {
        world.refused.count("file");
    }
}

async fn copy_some(world: &World, mut dice: Dice, folder: &Path) -> io::Result<()> {
    let path = folder.join("one");
    let written = vec![dice.throw() as u8; dice.among(0..=100_000) as usize];
    if dice.one_in(2) {
        fs::write(&path, &written).await?;
    } else {
        let mut file = File::create(&path).await?;
        for part in written.chunks(8_192) {
            file.write_all(part).await?;
        }
        file.flush().await?;
    }
    let mut read = Vec::new();
    File::open(&path).await?.read_to_end(&mut read).await?;
    if read != written {
        world.breaks("a file was not read as it was written".to_owned());
    }
    fs::remove_file(&path).await
}
