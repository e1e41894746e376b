CMD ["dotnet", "--info"]
