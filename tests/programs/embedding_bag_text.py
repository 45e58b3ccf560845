"""Which book is it from? Bags of words, a collate function with offsets, a scheduler with ReduceLROnPlateau."""
import json
import re

import torch
from datafiles import text
from torch import nn
from torch.utils.data import DataLoader


def tokens(line):
    return re.findall(r"[a-z']+", line.lower())


torch.manual_seed(0)
books = [text("tinyshakespeare_input", 5000), text("alice_wonderland", 5000)]
lines = [(label, line) for label, book in enumerate(books) for line in book.splitlines() if len(tokens(line)) > 3]
vocabulary = {w: i + 1 for i, w in enumerate(sorted({w for _, line in lines for w in tokens(line)}))}


def collate_batch(batch):
    label_list, text_list, offsets = [], [], [0]
    for _label, _text in batch:
        label_list.append(_label)
        processed = torch.tensor([vocabulary.get(w, 0) for w in tokens(_text)], dtype=torch.int64)
        text_list.append(processed)
        offsets.append(processed.size(0))
    return torch.tensor(label_list, dtype=torch.int64), torch.cat(text_list), torch.tensor(offsets[:-1]).cumsum(dim=0)


class TextClassificationModel(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_class):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, embed_dim, sparse=False)
        self.fc = nn.Linear(embed_dim, num_class)
        self.init_weights()

    def init_weights(self):
        initrange = 0.5
        self.embedding.weight.data.uniform_(-initrange, initrange)
        self.fc.weight.data.uniform_(-initrange, initrange)
        self.fc.bias.data.zero_()

    def forward(self, text, offsets):
        return self.fc(self.embedding(text, offsets))


loader = DataLoader(lines, batch_size=32, shuffle=True, collate_fn=collate_batch)
model = TextClassificationModel(len(vocabulary) + 1, 16, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
losses, right = [], 0
for epoch in range(2):
    right = 0
    for label, words, offsets in loader:
        optimizer.zero_grad()
        predicted = model(words, offsets)
        loss = nn.functional.cross_entropy(predicted, label)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        right += (predicted.argmax(1) == label).sum().item()
        losses.append(loss.item())
print(json.dumps({"losses": losses, "accuracy": right / len(lines), "words": len(vocabulary)}))
