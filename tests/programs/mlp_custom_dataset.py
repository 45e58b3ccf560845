"""A Dataset of one's own, a DataLoader, training and test loops: clothes."""
import json

import torch
from datafiles import mnist
from torch import nn
from torch.utils.data import DataLoader, Dataset, random_split


class Clothes(Dataset):
    def __init__(self, count, transform=None, target_transform=None):
        self.images, self.labels = mnist(count, "FashionMNIST")
        self.transform, self.target_transform = transform, target_transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, idx):
        image, label = torch.from_numpy(self.images[idx]).unsqueeze(0), int(self.labels[idx])
        if self.transform:
            image = self.transform(image)
        if self.target_transform:
            label = self.target_transform(label)
        return image, label


class NeuralNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(nn.Linear(28 * 28, 128), nn.ReLU(),
                                               nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x):
        return self.linear_relu_stack(self.flatten(x))


def train_loop(dataloader, model, loss_fn, optimizer):
    model.train()
    for X, y in dataloader:
        loss = loss_fn(model(X), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def test_loop(dataloader, model, loss_fn):
    model.eval()
    test_loss, correct = 0, 0
    with torch.no_grad():
        for X, y in dataloader:
            pred = model(X)
            test_loss += loss_fn(pred, y).item()
            correct += (pred.argmax(1) == y).type(torch.float).sum().item()
    return test_loss / len(dataloader), correct / len(dataloader.dataset)


torch.manual_seed(42)
data = Clothes(1200, transform=lambda image: image / 255)
training_data, test_data = random_split(data, [1000, 200])
train_dataloader = DataLoader(training_data, batch_size=50, shuffle=True)
test_dataloader = DataLoader(test_data, batch_size=50)
model = NeuralNetwork()
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
rows = []
for _ in range(3):
    last = train_loop(train_dataloader, model, loss_fn, optimizer)
    rows.append([last, *test_loop(test_dataloader, model, loss_fn)])
print(json.dumps({"rows": rows, "model": str(model)}))
