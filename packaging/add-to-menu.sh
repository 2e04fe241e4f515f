#!/bin/sh
# Puts Seedcap into the menu of applications of whoever runs this, from the folder it lies in; "remove" takes it out again.
set -eu
here="$(cd -- "$(dirname -- "$0")" && pwd)"
data="${XDG_DATA_HOME:-$HOME/.local/share}"
entry="$data/applications/seedcap.desktop"
icon="$data/icons/hicolor/scalable/apps/seedcap.svg"
if [ "${1:-}" = remove ]; then
  rm -f -- "$entry" "$icon"
  exit
fi
mkdir -p -- "$(dirname -- "$entry")" "$(dirname -- "$icon")"
cp -- "$here/seedcap.svg" "$icon"
# In a desktop entry a path stands in quotes, with these four escaped; awk takes it from the environment as it is.
program="$here/seedcap" awk '
  /^Exec=/ {
    path = ENVIRON["program"]
    gsub(/["`$\\]/, "\\\\\\\\&", path)
    gsub(/%/, "%%", path)
    sub(/^Exec=seedcap/, "")
    print "Exec=\"" path "\"" $0
    next
  }
  { print }
' "$here/seedcap.desktop" > "$entry"
