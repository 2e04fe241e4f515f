"""``doctor``: what this machine can do, and what is missing; whether a library is whole, and getting it back."""

from __future__ import annotations

import argparse
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.result import CommandResult
from core.display import has_display, lacking_library
from core.errors import UserError
from core.jobs import JobContext

if TYPE_CHECKING:
    from core.devices import Device

HELP = """Say what this machine can do: libraries, processor, memory, disk, display, and honest minutes for 500 photos,
from a measurement of two seconds. With LIB, say whether that library is whole; --recover keeps what can be read of a
damaged one."""

_NEEDED_TO_CAPTION = ("numpy", "pillow", "tokenizers")
_NEEDED_TO_TRAIN = ("torch", "transformers", "open_clip_torch", "timm", "safetensors")
_NEEDED_FOR_LIBRARIES = ("SQLAlchemy", "alembic", "platformdirs")
_AGAIN = "Install Seedcap again, as its README says."
_TIGHT_MEMORY, _TIGHT_DISK = 4 << 30, 2 << 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("library", metavar="LIB", nargs="?", type=Path, help="a library to examine instead")
    parser.add_argument("--quick", action="store_true", help="leave the measurement out")
    parser.add_argument(
        "--recover", action="store_true", help="make LIB anew from what can be read of it; a copy of the file is kept"
    )


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    if args.library is not None:
        return _recover(args.library, ctx) if args.recover else _examine(args.library)
    if args.recover:
        raise UserError("--recover needs a library.", "Name it: seedcap doctor LIB --recover")
    from core import machine, paths
    from core.version import version

    libraries = machine.libraries()
    total, available = machine.memory()
    data_dir = paths.data_dir() if libraries["platformdirs"] else Path.home()
    data: dict[str, Any] = {
        "version": version(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": machine.processor(),
        "cores": machine.cores(),
        "memory_bytes": total,
        "memory_available_bytes": available,
        "disk_free_bytes": machine.free_disk(data_dir),
        "data_dir": str(data_dir),
        "display": has_display(),
        "display_lacks": lacking_library(),
        "heic": machine.reads_heic(),
        "exiftool": machine.exiftool(),
        "starter": (paths.starter_dir() / "encoder").is_dir(),
        "libraries": libraries,
    }
    data["problems"], data["hints"] = _findings(data)
    if not args.quick:
        if libraries["torch"] and (trouble := machine.torch_trouble()):
            data["problems"].append(f"torch is installed but does not load, so this machine cannot train: {trouble}")
        ctx.progress(0, None, "Measuring matrix products for two seconds")
        data["devices"] = [asdict(one) for one in _devices(machine.torch_trouble())]
        rate = machine.measure_gemm()
        if libraries["platformdirs"]:
            machine.keep_rate(rate)  # the app tells from it how long a training takes
        train, caption = machine.seconds_for_500_photos(rate)
        data["gemm"] = {"gflops": rate.gflops, "library": rate.library, "device": rate.device}
        data["minutes_500_photos"] = {"train": train / 60, "caption": caption / 60}
    return CommandResult(data, _text(data), len(data["problems"]))


def _devices(trouble: str | None) -> tuple[Device, ...]:
    from core.devices import devices

    return () if trouble else devices()


def _examine(library: Path) -> CommandResult:
    from core.library import backups, db, integrity

    folder = _library_folder(library)
    health = integrity.examine(folder)
    saved = backups.list_backups(folder)
    data = {
        "library": str(folder),
        "schema": health.version,
        "photos": health.photos,
        "captions": health.captions,
        "problems": list(health.problems),
        "notes": list(health.notes),
        "backups": [str(one.path) for one in saved],
    }
    if health.problems:
        lines = [*health.problems, f"Keep what can be read, with a copy of the file: {db.recover_command(folder)}"]
    else:
        lines = [f"The library is whole: {health.photos:,} photos, {health.captions:,} captions."]
    lines += health.notes
    lines += [f"Backup of {one.made_at:%Y-%m-%d}: {one.path}" for one in saved]
    return CommandResult(data, "\n".join(lines), len(health.problems))


def _recover(library: Path, ctx: JobContext) -> CommandResult:
    from core.library import integrity, recovery

    folder = _library_folder(library)
    if not integrity.examine(folder).problems:
        return CommandResult({"library": str(folder), "lost": []}, "The library is whole; nothing was changed.")
    report = recovery.recover(ctx, folder)
    data = {
        "library": str(folder),
        "damaged": str(report.damaged),
        "kept": dict(report.kept),
        "lost": list(report.lost),
        "captions_without_photo": None if report.words is None else str(report.words),
    }
    lines = [
        f"Kept {report.kept.get('caption', 0):,} captions and {report.kept.get('image', 0):,} photos.",
        *(report.lost or ("Everything could be read.",)),
        f"The damaged file is kept as {report.damaged}.",
    ]
    return CommandResult(data, "\n".join(lines), len(report.lost))


def _library_folder(library: Path) -> Path:
    from core.library.library import DATABASE, SUFFIX

    if (library / DATABASE).exists() or library.name.endswith(SUFFIX):
        return library
    return library.with_name(library.name + SUFFIX)


def _findings(data: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What does not work here, and what could work better; whole sentences with the next step."""
    libraries: dict[str, str | None] = data["libraries"]
    missing = {name for name, found in libraries.items() if found is None}
    problems, hints = [], []
    if lost := [name for name in (*_NEEDED_TO_CAPTION, "onnxruntime") if name in missing]:
        problems.append(f"Captioning needs {', '.join(lost)}. Install with: pip install {' '.join(lost)}")
    if lost := [name for name in _NEEDED_FOR_LIBRARIES if name in missing]:
        problems.append(f"Libraries need {', '.join(lost)}. {_AGAIN}")
    if lost := [name for name in _NEEDED_TO_TRAIN if name in missing]:
        problems.append(f"Training needs {', '.join(lost)}; this machine can only run finished bundles. {_AGAIN}")
    if not data["starter"]:
        problems.append(f"The starter models are missing. {_AGAIN}")
    if data["memory_bytes"] is not None and data["memory_bytes"] < _TIGHT_MEMORY:
        hints.append("With less than 4 GB of memory, close other programs while training.")
    if data["disk_free_bytes"] < _TIGHT_DISK:
        hints.append(f"Less than 2 GB are free where libraries are kept ({data['data_dir']}).")
    if not data["display"]:
        hints.append("There is no display: the app cannot open here, every command works.")
    if data["display_lacks"]:
        problems.append(
            f"The app needs the system library {data['display_lacks']}. Install the packages that the README lists."
        )
    if not data["heic"]:
        from core.machine import heic_advice

        hints.append(f"HEIC photos are not read. {heic_advice()}")
    if not data["exiftool"]:
        hints.append("ExifTool is not installed; it is only needed to write captions into photo files.")
    return problems, hints


def _text(data: dict[str, Any]) -> str:
    memory = _gigabytes(data["memory_bytes"])
    if data["memory_available_bytes"] is not None:
        memory += f", {_gigabytes(data['memory_available_bytes'])} free"
    rows = [
        ("Seedcap", data["version"]),
        ("Python", f"{data['python']} on {data['system']}"),
        ("Processor", f"{data['processor']}, {data['cores']} cores to use"),
        ("Memory", memory),
        ("Disk", f"{_gigabytes(data['disk_free_bytes'])} free at {data['data_dir']}"),
        (
            "Display",
            ("yes" if data["display"] else "none") + (", but a library is missing" if data["display_lacks"] else ""),
        ),
        ("HEIC", "read" if data["heic"] else "not read"),
        ("ExifTool", data["exiftool"] or "not installed"),
        ("Libraries", ", ".join(f"{name} {found or 'MISSING'}" for name, found in data["libraries"].items())),
    ]
    for one in data.get("devices", ()):
        room = "" if one["free"] is None else f", {_gigabytes(one['free'])} of {_gigabytes(one['total'])} free"
        rows.append(("Trains on", f"{one['name']}: {one['title']}{room}"))
        rows += [("", one["instead_of"])] if one["instead_of"] else []
    if "gemm" in data:
        gemm, minutes = data["gemm"], data["minutes_500_photos"]
        rows.append(("Speed", f"{gemm['gflops']:,.0f} GFLOP/s in float32 ({gemm['library']}, {gemm['device']})"))
        rows.append(("500 photos", f"{_about(minutes['train'])} to train, {_about(minutes['caption'])} to caption"))
    lines = [f"{name:<11}{value}" for name, value in rows]
    if "gemm" in data:
        lines.append(
            "           (starter models, 50 seeds; estimated from the speed just measured, other work included)"
        )
    return "\n".join([*lines, "", *data["problems"], *data["hints"]]).rstrip()


def _gigabytes(number: int | None) -> str:
    return "unknown" if number is None else f"{number / (1 << 30):.1f} GB"


def _about(minutes: float) -> str:
    """A span instead of false precision: the estimate may be off by a third."""
    from core.machine import SPAN

    low, high = minutes * SPAN[0], minutes * SPAN[1]
    if high < 1.5:
        return f"{max(5, round(low * 60 / 5) * 5):.0f} to {max(10, round(high * 60 / 5) * 5):.0f} seconds"
    if high < 120:
        return f"{max(1, round(low)):.0f} to {max(2, round(high)):.0f} minutes"
    return f"{low / 60:.1f} to {high / 60:.1f} hours"
