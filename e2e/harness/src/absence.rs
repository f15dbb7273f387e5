//! A part that is away for a while.

use anyhow::Result;
use tokio::sync::Barrier;

use crate::system::System;

/// A stateful part that is away while several stories are told beside each other, so that its absence is waited for once.
pub struct Absence {
    system: System,
    part: &'static str,
    /// All have come to where it goes; it is gone; none needs it away any more; it is back.
    meetings: [Barrier; 4],
}

impl Absence {
    /// Of a part, for so many stories. Each has to call [`begins`](Self::begins) and [`ends`](Self::ends) once.
    pub fn of(system: &System, part: &'static str, stories: usize) -> Self {
        Self {
            system: system.clone(),
            part,
            meetings: [(); 4].map(|()| Barrier::new(stories)),
        }
    }

    /// The installation.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// Waits for the other stories, and until the part is gone, which is killed.
    ///
    /// # Errors
    /// When it does not go in time.
    pub async fn begins(&self) -> Result<()> {
        if self.meetings[0].wait().await.is_leader() {
            self.system.kill_and_keep_away(self.part).await?;
        }
        self.meetings[1].wait().await;
        Ok(())
    }

    /// Waits for the other stories, and until the part serves again.
    ///
    /// # Errors
    /// When it is not ready in time.
    pub async fn ends(&self) -> Result<()> {
        if self.meetings[2].wait().await.is_leader() {
            self.system.start(self.part).await?;
        }
        self.meetings[3].wait().await;
        Ok(())
    }
}
