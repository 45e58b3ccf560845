"""A recurrent network built by hand learns to spell names, one character at a time."""
import json
import string

import torch
import torch.nn as nn
from datafiles import text

all_letters = string.ascii_lowercase + "."
n_letters = len(all_letters)
names = text("names", 600).lower().split()[:40]


def inputTensor(line):
    tensor = torch.zeros(len(line) + 1, 1, n_letters)
    for li, letter in enumerate("." + line):
        tensor[li][0][all_letters.find(letter)] = 1
    return tensor


def targetTensor(line):
    return torch.LongTensor([all_letters.find(letter) for letter in line + "."])


class RNN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)
        self.i2o = nn.Linear(input_size + hidden_size, output_size)
        self.o2o = nn.Linear(hidden_size + output_size, output_size)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, input, hidden):
        input_combined = torch.cat((input, hidden), 1)
        hidden = self.i2h(input_combined)
        output = self.i2o(input_combined)
        output = self.o2o(torch.cat((hidden, output), 1))
        return self.softmax(output), hidden

    def initHidden(self):
        return torch.zeros(1, self.hidden_size)


torch.manual_seed(0)
rnn = RNN(n_letters, 32, n_letters)
criterion = nn.NLLLoss()
learning_rate = 0.0005
losses = []
for name in names:
    input_line_tensor, target_line_tensor = inputTensor(name), targetTensor(name)
    target_line_tensor.unsqueeze_(-1)
    hidden = rnn.initHidden()
    rnn.zero_grad()
    loss = torch.Tensor([0])
    for i in range(input_line_tensor.size(0)):
        output, hidden = rnn(input_line_tensor[i], hidden)
        loss += criterion(output, target_line_tensor[i])
    loss.backward()
    for p in rnn.parameters():
        p.data.add_(p.grad.data, alpha=-learning_rate)
    losses.append(loss.item() / input_line_tensor.size(0))


def spell(max_length=6):
    with torch.no_grad():
        input, hidden, output_name = inputTensor(""), rnn.initHidden(), ""
        for _ in range(max_length):
            output, hidden = rnn(input[0], hidden)
            topv, topi = output.topk(1)
            output_name += all_letters[topi[0][0]]
            input = inputTensor(output_name)[-1:]
        return output_name


print(json.dumps({"losses": losses, "name": spell()}))
