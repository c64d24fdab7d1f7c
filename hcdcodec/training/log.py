"""How a training tells how it goes: its clock, its timers, its running means."""

import time

import torch

from hcdcodec.training.loss import DB, Losses

LONGEST_UPDATE = 10.0  # seconds; a longer time with hardly any work was a stop


class Clock:
    """Minutes of a run, those of earlier calls included, and those in which it was stopped left out."""

    def __init__(self, before: float) -> None:
        self._seen, self._worked = time.monotonic(), time.process_time()
        self._origin = self._seen - 60 * before

    @property
    def minutes(self) -> float:
        """Minutes until now. Seconds since the last look do not count if the process was stopped meanwhile."""
        seconds, work = time.monotonic() - self._seen, time.process_time() - self._worked
        if seconds > LONGEST_UPDATE and work < seconds / 10:
            self._origin += seconds
        self._seen, self._worked = self._seen + seconds, self._worked + work
        return (self._seen - self._origin) / 60


class Timer:
    """Tells when so many seconds have passed since it last did."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, time.monotonic()

    def due(self) -> bool:
        """Tell, and begin anew if so."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


class Meter:
    """Means since the last report; stays on the device, so that nothing waits for it."""

    HEADS = f"{'MP/s':>6}  {'loss':>8}  {'PSNR dB':>7}  {'LR dB':>6}"
    """What stands above `line`."""

    def __init__(self) -> None:
        self.count = 0
        self._pixels, self._since = 0, time.monotonic()
        self._sums: torch.Tensor | float = 0.0

    def add(self, losses: Losses, pixels: int) -> None:
        """Count one iteration."""
        self._sums = self._sums + torch.stack((losses.total.detach(), losses.error, losses.distance))
        self._pixels += pixels
        self.count += 1

    def line(self) -> str:
        """Return speed, loss, PSNR of the reconstruction and of the LR against the bicubic one, in columns."""
        assert isinstance(self._sums, torch.Tensor)
        loss, error, distance = (self._sums / self.count).tolist()
        speed = self._pixels / 1e6 / max(time.monotonic() - self._since, 1e-9)
        return f"{speed:6.2f}  {loss:8.5f}  {-DB * error:7.2f}  {-DB * distance:6.2f}"
