"""Words are turned round by an encoder and a decoder with additive attention and teacher forcing."""
import json
import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from datafiles import text
from torch import optim

SOS, EOS = 0, 1
MAX_LENGTH = 8
letters = "abcdefghijklmnopqrstuvwxyz"
words = [w for w in text("names", 2000).lower().split() if len(w) < MAX_LENGTH and w.isalpha()][:32]


def indexes(word):
    return [letters.index(c) + 2 for c in word] + [EOS]


class EncoderRNN(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.embedding = nn.Embedding(input_size, hidden_size)
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)

    def forward(self, input):
        return self.gru(self.embedding(input))


class BahdanauAttention(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.Wa = nn.Linear(hidden_size, hidden_size)
        self.Ua = nn.Linear(hidden_size, hidden_size)
        self.Va = nn.Linear(hidden_size, 1)

    def forward(self, query, keys):
        scores = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys)))
        weights = F.softmax(scores.squeeze(2).unsqueeze(1), dim=-1)
        return torch.bmm(weights, keys), weights


class AttnDecoderRNN(nn.Module):
    def __init__(self, hidden_size, output_size):
        super().__init__()
        self.embedding = nn.Embedding(output_size, hidden_size)
        self.attention = BahdanauAttention(hidden_size)
        self.gru = nn.GRU(2 * hidden_size, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, output_size)

    def forward(self, encoder_outputs, encoder_hidden, target_tensor=None):
        decoder_input = torch.empty(encoder_outputs.size(0), 1, dtype=torch.long).fill_(SOS)
        decoder_hidden, outputs, attentions = encoder_hidden, [], []
        for i in range(MAX_LENGTH):
            output, decoder_hidden, weights = self.forward_step(decoder_input, decoder_hidden, encoder_outputs)
            outputs.append(output)
            attentions.append(weights)
            if target_tensor is not None:
                decoder_input = target_tensor[:, i].unsqueeze(1)
            else:
                _, topi = output.topk(1)
                decoder_input = topi.squeeze(-1).detach()
        return F.log_softmax(torch.cat(outputs, dim=1), dim=-1), decoder_hidden, torch.cat(attentions, dim=1)

    def forward_step(self, input, hidden, encoder_outputs):
        embedded = self.embedding(input)
        query = hidden.permute(1, 0, 2)
        context, weights = self.attention(query, encoder_outputs)
        output, hidden = self.gru(torch.cat((embedded, context), dim=2), hidden)
        return self.out(output), hidden, weights


random.seed(0)
torch.manual_seed(0)
inputs = torch.zeros(len(words), MAX_LENGTH, dtype=torch.long)
targets = torch.zeros(len(words), MAX_LENGTH, dtype=torch.long)
for row, word in enumerate(words):
    inputs[row, :len(word) + 1] = torch.tensor(indexes(word))
    targets[row, :len(word) + 1] = torch.tensor(indexes(word[::-1]))
encoder, decoder = EncoderRNN(28, 24), AttnDecoderRNN(24, 28)
optimizers = [optim.Adam(m.parameters(), lr=0.01) for m in (encoder, decoder)]
criterion = nn.NLLLoss()
losses = []
for step in range(10):
    for o in optimizers:
        o.zero_grad()
    encoder_outputs, encoder_hidden = encoder(inputs)
    forced = targets if random.random() < 0.8 else None
    decoder_outputs, _, attention = decoder(encoder_outputs, encoder_hidden, forced)
    loss = criterion(decoder_outputs.view(-1, decoder_outputs.size(-1)), targets.view(-1))
    loss.backward()
    for o in optimizers:
        o.step()
    losses.append(loss.item())
print(json.dumps({"losses": losses, "attention": attention[0, 0].tolist()}))
