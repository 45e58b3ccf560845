"""An n-gram language model with embeddings, and a continuous bag of words."""
import json

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from datafiles import text

torch.manual_seed(1)
CONTEXT_SIZE, EMBEDDING_DIM = 2, 10
test_sentence = text("alice_wonderland", 1400).split()
trigrams = [([test_sentence[i - j - 1] for j in range(CONTEXT_SIZE)], test_sentence[i])
            for i in range(CONTEXT_SIZE, len(test_sentence))]
vocab = sorted(set(test_sentence))
word_to_ix = {word: i for i, word in enumerate(vocab)}


class NGramLanguageModeler(nn.Module):
    def __init__(self, vocab_size, embedding_dim, context_size):
        super().__init__()
        self.embeddings = nn.Embedding(vocab_size, embedding_dim)
        self.linear1 = nn.Linear(context_size * embedding_dim, 32)
        self.linear2 = nn.Linear(32, vocab_size)

    def forward(self, inputs):
        embeds = self.embeddings(inputs).view((1, -1))
        out = F.relu(self.linear1(embeds))
        return F.log_softmax(self.linear2(out), dim=1)


losses = []
loss_function = nn.NLLLoss()
model = NGramLanguageModeler(len(vocab), EMBEDDING_DIM, CONTEXT_SIZE)
optimizer = optim.SGD(model.parameters(), lr=0.01)
for epoch in range(2):
    total_loss = 0
    for context, target in trigrams[:60]:
        context_idxs = torch.tensor([word_to_ix[w] for w in context], dtype=torch.long)
        model.zero_grad()
        log_probs = model(context_idxs)
        loss = loss_function(log_probs, torch.tensor([word_to_ix[target]], dtype=torch.long))
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
    losses.append(total_loss)


class CBOW(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(len(vocab), EMBEDDING_DIM, mode="sum")
        self.out = nn.Linear(EMBEDDING_DIM, len(vocab))

    def forward(self, inputs, offsets):
        return self.out(self.bag(inputs, offsets))


cbow = CBOW()
ids = [word_to_ix[w] for w in test_sentence]
contexts = torch.tensor([ids[i - 2:i] + ids[i + 1:i + 3] for i in range(2, 42)])
targets = torch.tensor(ids[2:42])
optimizer = optim.Adagrad(cbow.parameters(), lr=0.1)
for _ in range(8):
    optimizer.zero_grad()
    loss = F.cross_entropy(cbow(contexts.flatten(), torch.arange(0, 160, 4)), targets)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(json.dumps({"losses": losses, "embedding": model.embeddings.weight[word_to_ix["Alice"]].tolist()}))
