#!/bin/sh
# Builds the test guests: clang and wasm-ld.
set -eu
cd "$(dirname "$0")"
cc() {
	out=$1; shift
	clang --target=wasm32 -O2 -mbulk-memory -nostdlib -Wl,--no-entry -Wl,-s -Wl,-z,stack-size=16384 "$@" -o "$out.wasm" guest.c
}
cc guest
cc nomarker -DNOMARKER
cc version2 -DVERSION2
cc noalloc -DNOALLOC
cc initloop -DINITLOOP
cc wrongtype -DWRONGTYPE
cc badimport -DBADIMPORT
cc badmanifest '-DMANIFEST="{\"name\":\"a b\"}"'
cc hugememory -Wl,--initial-memory=4294901760
