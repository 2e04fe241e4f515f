"""The app's icon as the systems want it, drawn from ``resources/icons/app.svg``.

``python packaging/icons.py FOLDER`` writes ``seedcap.svg``, ``seedcap.png``, ``seedcap.ico`` and ``seedcap.icns``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIDE = 512
WINDOWS = [(side, side) for side in (16, 24, 32, 48, 64, 128, 256)]


def write_icons(folder: Path) -> None:
    """Draw the icon in the colour it has in the app's light theme."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PIL import Image
    from PySide6.QtCore import QByteArray
    from PySide6.QtGui import QColor, QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer

    from gui.theme import LIGHT

    folder.mkdir(parents=True, exist_ok=True)
    drawing = (ROOT / "resources/icons/app.svg").read_text("utf-8").replace("currentColor", LIGHT.accent)
    (folder / "seedcap.svg").write_text(drawing, "utf-8")
    canvas = QImage(SIDE, SIDE, QImage.Format.Format_ARGB32)
    canvas.fill(QColor(0, 0, 0, 0))
    painter = QPainter(canvas)
    QSvgRenderer(QByteArray(drawing.encode())).render(painter)
    painter.end()
    canvas.save(str(folder / "seedcap.png"))
    with Image.open(folder / "seedcap.png") as image:
        image.save(folder / "seedcap.ico", sizes=WINDOWS)
        image.save(folder / "seedcap.icns")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    write_icons(Path(sys.argv[1]))
