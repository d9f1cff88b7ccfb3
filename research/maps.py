"""Fits the map of every bundled model that has none yet: `python -m research.maps`."""

from explorer.analysis.map.fit import fit_map
from explorer.analysis.map.store import MAP_FILE, save_map
from explorer.system.files import MODELS
from explorer.vocabulary import Vocabulary

if __name__ == "__main__":
    for folder in sorted(MODELS.iterdir()):
        if not (folder / MAP_FILE).exists():
            save_map(fit_map(Vocabulary.load(folder.name), progress=print), folder / MAP_FILE)
            print(f"wrote {folder / MAP_FILE}")
