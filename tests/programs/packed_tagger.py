"""Vowels tagged in names of different lengths: packed sequences through a bidirectional LSTM."""
import json

import torch
import torch.nn as nn
from datafiles import text
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

torch.manual_seed(0)
names = text("names", 400).lower().split()[:24]
sequences = [torch.tensor([ord(c) - 96 for c in name]) for name in names]
tags = [torch.tensor([int(c in "aeiou") for c in name]) for name in names]


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(27, 8, padding_idx=0)
        self.lstm = nn.LSTM(8, 12, bidirectional=True, batch_first=True)
        self.out = nn.Linear(24, 2)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(self.embedding(x), lengths, batch_first=True, enforce_sorted=False)
        output, (h, c) = self.lstm(packed)
        output, out_lengths = pad_packed_sequence(output, batch_first=True)
        assert out_lengths.tolist() == lengths.tolist()
        return self.out(output), h


model = Tagger()
optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01)
losses = []
for epoch in range(3):
    for i in range(0, 24, 8):
        x = pad_sequence(sequences[i:i + 8], batch_first=True)
        y = pad_sequence(tags[i:i + 8], batch_first=True, padding_value=-100)
        lengths = torch.tensor([len(s) for s in sequences[i:i + 8]])
        logits, h = model(x, lengths)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
print(json.dumps({"losses": losses, "last": h[:, 0].flatten().tolist(), "shape": list(logits.shape)}))
