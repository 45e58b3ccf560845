"""Samplers, splits, streams, workers, collate functions: what a DataLoader gives, in which order."""
import json

import torch
from torch.utils.data import (BatchSampler, ConcatDataset, DataLoader, Dataset, IterableDataset, RandomSampler,
                              Subset, TensorDataset, WeightedRandomSampler, get_worker_info, random_split)


class Squares(Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return {"x": torch.tensor([i, i * i]), "name": f"n{i}", "pair": (i, float(i) / 2)}


class Stream(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(start, 12, step))


if __name__ == "__main__":
    torch.manual_seed(3)
    result = {"batches": [[b["x"][:, 1].tolist(), b["name"], b["pair"][1].tolist()]
                          for b in DataLoader(Squares(7), 3, shuffle=True)]}
    train, valid, test = random_split(range(20), [0.5, 0.25, 0.25], generator=torch.Generator().manual_seed(42))
    result["split"] = [list(train), list(valid), list(test)]
    sampler = WeightedRandomSampler([0.1, 0.9, 0.4, 0.7], 8)
    result["weighted"] = [b.tolist() for b in DataLoader(torch.arange(4) * 10, batch_size=4, sampler=sampler)]
    both = ConcatDataset([TensorDataset(torch.arange(3)), TensorDataset(torch.arange(10, 13))])
    result["both"] = [b[0].tolist() for b in DataLoader(both, batch_size=4, drop_last=False)]
    result["stream"] = [b.tolist() for b in DataLoader(Stream(), batch_size=4, num_workers=2)]
    result["workers"] = [b["x"].tolist() for b in DataLoader(Squares(6), 2, num_workers=2, persistent_workers=True)]
    loader = DataLoader(Subset(Squares(9), [8, 1, 5]), batch_sampler=BatchSampler(RandomSampler(range(3)), 2, False),
                        collate_fn=lambda samples: [s["pair"][0] for s in samples])
    result["subset"] = [list(loader), len(loader)]
    print(json.dumps(result))
